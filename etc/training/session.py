"""One training from parameters to files: devices, lock, checkpoint, loop, outputs."""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate.utils import broadcast_object_list
from torch import nn

from etc.core import portable
from etc.core.errors import UserError
from etc.core.files import atomic, write_json
from etc.core.outputs import together
from etc.dataset.dataset import Dataset
from etc.models import huggingface, registry, weights
from etc.models.load_report import LoadReport
from etc.models.memory import advising
from etc.models.names import is_huggingface
from etc.params.training import NetworkParams, TermName, TrainingParams
from etc.training.augment import apply
from etc.training.checkpoint import WorkFolder
from etc.training.cross_entropy import SegmentationLoss
from etc.training.data import Clips, Samples
from etc.training.determinism import set_determinism
from etc.training.dev import DevJudge
from etc.training.device_augment import Cut
from etc.training.fingerprint import fingerprint, hash_files
from etc.training.loop import History, start_accelerator, train
from etc.training.objective import BATCH_NORM, Objective, Term
from etc.training.optimiser import learning_rate

HISTORY = ("step", "lr", "total", "ce", *get_args(TermName))
# In the history of a network that is judged while it trains.
JUDGED = ("dev_miou", "dev_tc")


@dataclass(frozen=True)
class Plan:
    """Everything that defines a training.

    Attributes:
        dataset: the data set; its label set gives the classes.
        name: of the training: labeller, teacher, or that of a student's run.
        output: folder of the trained network.
        network: architecture and width.
        seed: seed of the run.
        training: optimiser, schedule, augmentation, machine.
        iterations: optimiser steps.
        terms: builds the terms that are added to the cross-entropy; called after the student is built.
        term_weights: their weights.
        described: the parameters that a checkpoint must match, as nested mappings.
        inputs: content hash of each input.
        clips: opens the frames; its argument ``decoded`` is that of ``training.machine``.
        teacher: reads the frozen teacher; None when no term needs it.
        start: folder of the trained network that this one starts from; None for fresh weights.
        reach: largest distance of the partner, places in the clip.
        pseudo_share: share of pseudo-labelled samples.
        warning: said on stderr when the training begins; empty for none.
    """

    dataset: Dataset
    name: str
    output: Path
    network: NetworkParams
    seed: int
    training: TrainingParams
    iterations: int
    described: Mapping[str, Any]
    inputs: Mapping[str, str]
    clips: Callable[..., Clips]
    terms: Callable[[], dict[str, Term]] = dict
    term_weights: Mapping[str, float] | None = None
    teacher: Callable[[], nn.Module] | None = None
    start: Path | None = None
    reach: int = 1
    pseudo_share: float = 0.0
    warning: str = ""


def run(plan: Plan) -> str:
    """Carry out a plan; write weights, config, history and timing, and return the closing line.

    Raises:
        UserError: an input is missing or wrong, or the training diverges.
    """
    training = plan.training
    set_determinism(plan.seed, training.machine.threads)
    accelerator = start_accelerator(training.machine)
    with contextlib.ExitStack() as stack:
        stack.enter_context(advising(memory_advice(training, accelerator.num_processes)))
        objective = make_objective(plan, tell=_tell if accelerator.is_main_process else None)
        judge = None if training.judge_every is None else DevJudge(plan.dataset, training.batch)
        inputs = _inputs(plan) | (judge.inputs() if judge else {})
        work = WorkFolder(Path("work") / plan.dataset.name / plan.name, fingerprint(plan.described, inputs))
        done = [False]
        if accelerator.is_main_process:
            waited = stack.enter_context(work.locked())
            done = [waited and work.is_finished()]
            if not done[0]:
                work.take_up()
        broadcast_object_list(done)
        if done[0]:
            return f"{plan.name} in {plan.output} (made by the process that this one waited for)"
        samples = Samples(
            plan.clips(decoded=plan.training.machine.decoded),
            training.augment,
            plan.seed,
            training.batch,
            objective.frames,
            plan.reach,
            plan.pseudo_share,
            training.machine.cache_mb,
            Cut if training.machine.augment_on == "device" else apply,
        )
        for note in filter(None, (samples.note, plan.warning)):
            if accelerator.is_main_process:
                print(note, file=sys.stderr, flush=True)
        teacher = plan.teacher() if plan.teacher is not None else None
        label = f"{plan.dataset.name} {plan.name}"
        history = train(
            objective, teacher, samples, training, plan.iterations, plan.seed, accelerator, work, label, judge
        )
        if accelerator.is_main_process:
            work.finish(write_outputs(plan, objective.student, history))
        accelerator.wait_for_everyone()
    final = dict(zip(history.names, history.values[-1].tolist(), strict=True))
    kept = f"; weights of iteration {history.kept + 1}, the best on dev" if training.keep == "best" else ""
    return f"{plan.name} in {plan.output} ({plan.iterations} iterations, last loss {final['total']:.3f}{kept})"


def memory_advice(training: TrainingParams, processes: int) -> str:
    """Which parameters to change when memory runs out, as a phrase for an error message."""
    height, width = training.augment.crop
    lower = f"lower 'training.batch' ({training.batch}) or 'training.augment.crop' ({height}x{width})"
    # Batch normalisation needs two samples in each part.
    for accumulate in range(training.accumulate + 1, training.batch // (2 * processes) + 1):
        if training.batch % (accumulate * processes) == 0:
            return f"raise 'training.accumulate' from {training.accumulate} to {accumulate}, or {lower}"
    return lower


def _inputs(plan: Plan) -> dict[str, str]:
    inputs = dict(plan.inputs)
    # make_objective has read these files by now, and reported what is wrong with them.
    if plan.training.backbone is not None:
        inputs["backbone"] = hash_files([_backbone(plan)])
    if plan.start is not None:
        inputs["start"] = hash_files([plan.start / weights.WEIGHTS])
    if is_huggingface(plan.network.architecture):
        inputs["model"] = hash_files(huggingface.local_files(plan.network.architecture))
    return inputs


def _tell(report: LoadReport) -> None:
    print(report.line(), file=sys.stderr, flush=True)


def make_objective(plan: Plan, tell: Callable[[LoadReport], None] | None = None) -> Objective:
    """Student with random, ImageNet or pretrained weights, and its losses.

    The same seed gives the same student in every scheme.

    Args:
        plan: the training.
        tell: called with the report on each loaded weights file.

    Raises:
        UserError: unknown architecture, weights that do not fit, a wrong number of class weights, or frozen statistics
            of random weights.
    """
    training = plan.training
    if training.class_weights is not None and len(training.class_weights) != plan.dataset.label_set.count:
        raise UserError(
            f"class_weights {training.class_weights}: give one for each of the {plan.dataset.label_set.count} classes "
            f"{', '.join(plan.dataset.label_set.names)}, or null"
        )
    student = registry.build(plan.network.architecture, plan.dataset.label_set.count, plan.network.width)
    reports = [getattr(student, "report", None)]
    if training.backbone is not None:
        reports.append(weights.load_backbone(student, _backbone(plan)))
    if plan.start is not None:
        reports.append(weights.load_start(student, plan.start))
    for report in filter(None, reports):
        if tell is not None:
            tell(report)
    if training.freeze_bn:
        _check_statistics(student)
    segmentation = SegmentationLoss(
        training.class_weights, training.ohem_threshold, training.ohem_fraction, training.auxiliary_weight
    )
    return Objective(student, segmentation, plan.terms(), plan.term_weights or {}, training.freeze_bn)


def _check_statistics(student: nn.Module) -> None:
    """Raise ``UserError`` when the backbone has no statistics that could be kept, or some of a new network."""
    layers = [one for one in student.backbone.modules() if isinstance(one, BATCH_NORM)]
    if not layers:
        raise UserError("training.freeze_bn is true, but the backbone has no batch normalisation; set it to false")
    if any(bool((one.running_mean == 0).all()) and bool((one.running_var == 1).all()) for one in layers):
        raise UserError(
            "training.freeze_bn is true, but the backbone has random weights, whose statistics (mean 0, variance 1) "
            "are not those of its maps; give it weights ('training.backbone' or 'start'), or set freeze_bn to false"
        )


def _backbone(plan: Plan) -> Path:
    return registry.backbone_file(plan.network.architecture, plan.training.backbone)


def write_outputs(plan: Plan, student: nn.Module, history: History) -> list[Path]:
    """Write the files of a finished training, see :func:`write_trained`."""
    config = {
        "architecture": plan.network.architecture,
        "width": plan.network.width,
        "classes": plan.dataset.label_set.count,
        "class_names": list(plan.dataset.label_set.names),
        "palette": [list(colour) for colour in plan.dataset.label_set.palette],
        "dataset": plan.dataset.name,
        "seed": plan.seed,
        "iterations": plan.iterations,
        "terms": dict(plan.term_weights or {}),
        # Of the step whose weights these are, where they are not the last.
        **({"kept": history.kept} if plan.training.keep == "best" else {}),
        "portable": portable.IN_FORCE and next(student.parameters()).device.type == "cpu",
    }
    curve = plan.dataset.folder / "history" / f"{plan.name}.parquet"
    for folder, pattern in ((plan.output, ".*.tmp"), (curve.parent, f".{curve.name}.*.tmp")):
        for leftover in folder.glob(pattern):
            leftover.unlink()
    table = history_table(history, plan.training, plan.iterations)
    judged = [(one.step, one.seconds) for one in history.judged]
    return write_trained(plan.output, student, config, curve, table, plan.iterations, history.seconds, judged)


def write_trained(
    output: Path,
    network: nn.Module,
    config: Mapping[str, Any],
    curve: Path,
    table: pa.Table,
    iterations: int,
    seconds: float,
    judged: Sequence[tuple[int, float]] = (),
) -> list[Path]:
    """Write all files of a trained network or none; equal trainings give equal bytes, but for ``timing.json``.

    That file is for people: no stage declares it, since a clock is part of no result
    (``docs/decisions/timing-and-machine.md``). It names the weights that it is about, which may be replaced without it.

    Args:
        output: folder for weights, config and timing.
        network: the trained network.
        config: see :func:`etc.models.weights.save`.
        curve: file for the history.
        table: the history.
        iterations: optimiser steps.
        seconds: duration of the training.
        judged: number of the last step before each judgement on the split ``dev``, and the seconds up to there.

    Returns:
        The files that the stage declares.

    Raises:
        UserError: the disk is full, or a folder cannot be written.
    """
    with together():
        with atomic(curve) as stream:
            pq.write_table(table, stream)
        digest = weights.save(output, network, config)
        timing = {"iterations": iterations, "train_seconds": round(seconds, 3), weights.HASH: digest}
        if judged:
            timing["judged"] = [[step, round(at, 3)] for step, at in judged]
        write_json(output / "timing.json", timing)
    return [output / weights.WEIGHTS, output / weights.CONFIG, curve]


def history_table(history: History, training: TrainingParams, iterations: int) -> pa.Table:
    """One row per ``history_every`` steps: its last step, the learning rate there, mean losses; null without a term.

    With ``judge_every``, two columns more: mIoU and TC of the last judgement in these steps, percent; null without one.
    """
    values = history.values.numpy()
    every = training.history_every
    ends = np.arange(every, iterations + every, every).clip(max=iterations)
    starts = np.concatenate([[0], ends[:-1]])
    columns: dict[str, list[float | None]] = {name: [None] * len(ends) for name in HISTORY}
    columns["step"] = [float(end - 1) for end in ends]
    columns["lr"] = [learning_rate(end - 1, iterations, training) for end in ends]
    for position, name in enumerate(history.names):
        columns[name] = [values[start:end, position].mean() for start, end in zip(starts, ends, strict=True)]
    if training.judge_every is not None:
        columns |= {name: [None] * len(ends) for name in JUDGED}
        for one in history.judged:
            columns["dev_miou"][one.step // every], columns["dev_tc"][one.step // every] = one.miou, one.tc
    return pa.table({name: pa.array(column, pa.float64()) for name, column in columns.items()})
