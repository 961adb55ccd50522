"""The training loop, the same on a CPU, a GPU or several."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from etc.core.errors import UserError, first_line, many
from etc.core.progress import track
from etc.models.dropout import Part, set_part
from etc.models.output import Output
from etc.params.training import MachineParams, TrainingParams
from etc.training.batches import Batch, Parts, loader, on_device
from etc.training.board import Board
from etc.training.checkpoint import WorkFolder
from etc.training.data import Samples
from etc.training.determinism import seed_step
from etc.training.dev import Judgement
from etc.training.jump import Jump, JumpWatch
from etc.training.objective import Objective, outputs_per_frame
from etc.training.optimiser import learning_rate, make_optimiser
from etc.training.synchronise import synchronise_batch_norm

# Steps whose mean loss the progress bar shows.
SHOWN_STEPS = 20
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class History:
    """Losses of every step.

    Attributes:
        names: of the columns: total, ce, then the terms.
        values: float64 (steps, columns); all but the total are unweighted.
        seconds: time spent on these steps, summed over all restarts, without that of judging.
        judged: judgements on the split ``dev``, in order.
        kept: step whose weights the student has now.
    """

    names: list[str]
    values: Tensor
    seconds: float
    judged: Sequence[Judgement] = ()
    kept: int = 0


def start_accelerator(machine: MachineParams) -> Accelerator:
    """Use the devices that the parameters name; under ``accelerate launch`` or ``torchrun``, as one of the processes.

    Raises:
        UserError: the device or the number format is not available here.
    """
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise UserError("machine.device is 'cuda', but torch finds no GPU; use 'auto' or 'cpu'")
    on_cpu = machine.device == "cpu" or not torch.cuda.is_available()
    if machine.precision == "fp16" and on_cpu:
        raise UserError("machine.precision 'fp16' needs a GPU; use 'fp32' or 'bf16' on a CPU")
    return Accelerator(cpu=on_cpu, mixed_precision=PRECISIONS[machine.precision])


def train(
    objective: Objective,
    teacher: nn.Module | None,
    samples: Samples,
    params: TrainingParams,
    iterations: int,
    seed: int,
    accelerator: Accelerator,
    work: WorkFolder,
    label: str,
    judge: Callable[[nn.Module], tuple[float | None, float | None]] | None = None,
) -> History:
    """Minimise the objective, resuming from the work folder's checkpoint to the same bits.

    Args:
        objective: its student is trained in place.
        teacher: frozen network, needed when ``objective.teacher_frames`` is above 0.
        samples: training samples.
        params: optimiser, schedule and machine.
        iterations: optimiser steps.
        seed: seed of the run.
        accelerator: from :func:`start_accelerator`.
        work: for the checkpoints; the last one is written after the last step.
        label: shown before the progress bar.
        judge: gives mIoU and TC of the student on the split ``dev``; called every ``params.judge_every`` steps and
            after the last one, in the main process.

    Raises:
        UserError: a loss or a weight is no longer finite; the last checkpoint is kept. Or the weights of the best
            judgement are to be kept, and the split ``dev`` has no label.
    """
    machine = params.machine
    layout = torch.channels_last if machine.channels_last else torch.contiguous_format
    synchronise_batch_norm(objective.student, accelerator.device)
    objective.student.to(memory_format=layout)
    if machine.compile:
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        objective.student.compile()
    if teacher is not None:
        teacher = teacher.to(accelerator.device, memory_format=layout).eval().requires_grad_(False)
    parallel, optimiser = accelerator.prepare(objective, make_optimiser(objective, params))
    parallel.train()
    state = _State(objective, optimiser, accelerator, work)
    parts = Parts(
        state.step, iterations, params.batch, params.accumulate, accelerator.process_index, accelerator.num_processes
    )
    batches = iter(loader(samples, parts, machine.workers, accelerator.device.type == "cuda"))
    masks = torch.Generator(accelerator.device)
    steps: Iterator[int] = iter(range(state.step, iterations))
    board = Board(work.path, state.step) if accelerator.is_main_process else None
    if board:
        steps = track(steps, iterations, label, done=state.step, note=lambda: _recent_loss(state.history))
    watch = JumpWatch()
    for values in state.history:
        watch(values[0])
    started = time.perf_counter()
    for step in steps:
        rate = learning_rate(step, iterations, params)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["lr_factor"]
        batch = [on_device(part, accelerator.device) for part in islice(batches, params.accumulate)]
        values = _step(parallel, objective, teacher, batch, accelerator, (seed, step), masks)
        _require_finite(values, objective.names, step, batch, accelerator, work)
        if params.clip_gradient is not None:
            accelerator.clip_grad_norm_(parallel.parameters(), params.clip_gradient)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        objective.after_step()
        state.history.append(values)
        state.step = step + 1
        if board and state.step % params.history_every == 0:
            board(step, {"lr": rate, **dict(zip(objective.names, values, strict=True))})
        jump = watch(values[0])
        if jump is not None and board:
            print(_jump_notice(label, jump, params.clip_gradient), file=sys.stderr, flush=True)
        if judge is not None and (state.step % params.judge_every == 0 or state.step == iterations):
            state.seconds += time.perf_counter() - started
            if board:
                found = Judgement(step, *judge(objective.student), state.seconds)
                board(step, {"dev_miou": found.miou, "dev_tc": found.tc})
                state.take(found, params.keep)
            started = time.perf_counter()
        if state.step % machine.checkpoint_every == 0 or state.step == iterations:
            now = time.perf_counter()
            state.seconds += now - started
            started = now
            state.save()
    if board:
        board.close()
    if state.best is not None:
        objective.student.load_state_dict(state.best)
    history = torch.tensor(state.history, dtype=torch.float64)
    return History(objective.names, history, state.seconds, state.judged, state.kept)


def _step(
    parallel: nn.Module,
    objective: Objective,
    teacher: nn.Module | None,
    batch: Sequence[Batch],
    accelerator: Accelerator,
    seed_and_step: tuple[int, int],
    masks: torch.Generator,
) -> list[float]:
    """Forward and backward of one step's parts; returns the mean values, equal in all processes.

    Each value is a mean over all parts of all processes: the cross-entropy over the labelled pixels, TL over the
    visible pixels, the others over the samples.
    """
    counts = torch.stack([objective.counts(part) for part in batch])
    everywhere = accelerator.reduce(counts.sum(0), "sum")
    parts = len(batch) * accelerator.num_processes
    shares = (counts / torch.where(everywhere > 0, everywhere, 1) * parts).float()
    means = []
    for place, (part, share) in enumerate(zip(batch, shares, strict=True)):
        number = accelerator.process_index * len(batch) + place
        seed_step(*seed_and_step, number, masks)
        if parts > 1:
            set_part(objective.student, Part(number, parts, objective.frames, masks))
        taught = _teach(teacher, part, objective.teacher_frames, accelerator)
        # Processes exchange gradients once a step, with the last part.
        last = place == len(batch) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(parallel):
            values = parallel(part, taught, share)
            accelerator.backward(values[0] / len(batch))
        means.append(values.detach())
    return accelerator.reduce(torch.stack(means).mean(0), "mean").tolist()


def _teach(teacher: nn.Module | None, batch: Batch, frames: int, accelerator: Accelerator) -> Sequence[Output]:
    if teacher is None or frames == 0:
        return []
    with torch.no_grad(), accelerator.autocast():
        return outputs_per_frame(teacher, batch.images[:frames])


def _require_finite(
    values: list[float],
    names: list[str],
    step: int,
    batch: Sequence[Batch],
    accelerator: Accelerator,
    work: WorkFolder,
) -> None:
    if all(map(math.isfinite, values)):
        return
    bad = [name for name, value in zip(names[1:], values[1:], strict=True) if not math.isfinite(value)] or ["total"]
    frames = gather_object([name for part in batch for name in part.names])
    raise UserError(
        f"step {step}: loss {', '.join(bad)} is not a finite number, on the frames {', '.join(frames)}; "
        f"the last good checkpoint stays in {work.path}; lower 'lr' or the weight of the term"
    )


def _jump_notice(label: str, jump: Jump, clip: float | None) -> str:
    advice = (
        "set 'training.clip_gradient' to 1.0" if clip is None else "lower 'training.clip_gradient' or 'training.lr'"
    )
    return (
        f"{label}: the loss jumped from about {jump.before:.3g} to {jump.now:.3g} at step {jump.step} and has stayed "
        f"there: {advice} and train again"
    )


def _recent_loss(history: Sequence[Sequence[float]]) -> str:
    recent = [values[0] for values in history[-SHOWN_STEPS:]]
    return f"loss {sum(recent) / len(recent):.3f}" if recent else ""


class _State:
    """The contents of a checkpoint: everything that a step changes."""

    def __init__(self, objective: Objective, optimiser: Any, accelerator: Accelerator, work: WorkFolder) -> None:
        self.objective, self.optimiser, self.accelerator, self.work = objective, optimiser, accelerator, work
        self.step, self.seconds = 0, 0.0
        self.history: list[list[float]] = []
        self.judged: list[Judgement] = []
        # The student's weights after the judgement with the highest mIoU, where these are to be kept.
        self.best: dict[str, Tensor] | None = None
        saved = work.load()
        if saved is None:
            return
        try:
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.history = saved["history"].tolist()
            self.judged = [Judgement(*one) for one in saved["judged"]]
            self.best = saved["best"]
            objective.load_state_dict(saved["objective"])
            optimiser.load_state_dict(saved["optimiser"])
            if accelerator.scaler is not None:
                accelerator.scaler.load_state_dict(saved["scaler"])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{work.path}: its checkpoint is of another version ({first_line(error)}); delete it to start again"
            ) from error
        if accelerator.is_main_process:
            print(f"{work.path}: resuming after {many(self.step, 'iteration')}", file=sys.stderr, flush=True)

    @property
    def kept(self) -> int:
        """The step whose weights are kept: that of the highest mIoU, the first of several, or the last one."""
        if self.best is None:
            return self.step - 1
        return max(self.judged, key=lambda one: one.miou).step

    def take(self, found: Judgement, keep: str) -> None:
        """Take the next judgement.

        Raises:
            UserError: the best weights are to be kept, and there is no mIoU to judge by.
        """
        self.judged.append(found)
        if keep != "best":
            return
        if found.miou is None:
            raise UserError("training.keep is 'best', but the split 'dev' has no labelled frame; set it to 'last'")
        if found.miou > max((one.miou for one in self.judged[:-1]), default=-1.0):
            self.best = {name: one.detach().clone() for name, one in self.objective.student.state_dict().items()}

    def save(self) -> None:
        """Write a checkpoint, unless a weight is no longer finite.

        Raises:
            UserError: a weight is not finite.
        """
        for name, value in self.objective.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise UserError(
                    f"step {self.step - 1}: weight {name} is not finite; the last good checkpoint stays in "
                    f"{self.work.path}; lower 'lr'"
                )
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        self.work.save(
            {
                "step": self.step,
                "seconds": self.seconds,
                "history": torch.tensor(self.history, dtype=torch.float64),
                "judged": [list(one) for one in self.judged],
                "best": self.best,
                "objective": self.objective.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
            }
        )
