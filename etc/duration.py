"""What a step of each kind of training costs here, measured on made-up frames.

``python -m etc.duration DATASET`` prints a line of JSON for each kind. ``etc plan`` runs it as a process of its own,
since the system may end one that needs more memory than there is.
"""

import contextlib
import dataclasses
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from etc.core.errors import UserError
from etc.models import registry
from etc.params import check, experiment, frames, labeller, pretrain, student, teacher
from etc.params.training import NetworkParams, TrainingParams
from etc.terms.motion import MotionTerm
from etc.terms.scheme import build_terms
from etc.training.checkpoint import WorkFolder
from etc.training.cross_entropy import SegmentationLoss
from etc.training.data import Clips, Labelled, Samples
from etc.training.determinism import set_determinism
from etc.training.fingerprint import fingerprint
from etc.training.loop import start_accelerator, train
from etc.training.objective import Objective, Term

# Steps are measured for about so many seconds a kind, after a first one, which is slower.
SECONDS = 1.0
MOST_STEPS = 20
# Of larger batches a CPU computes two samples, the fewest that batch normalisation takes.
LARGE = 2**20  # pixels


@dataclasses.dataclass(frozen=True)
class Training:
    """What the duration of a training depends on.

    Attributes:
        kind: trainings of one kind differ in ``iterations`` alone.
        dataset: name of the data set.
        network: what is trained.
        training: its parameters.
        iterations: optimiser steps.
        weights: weight of each term.
        terms: builds the terms.
        teacher: the network that is learned from.
    """

    kind: str
    dataset: str
    network: NetworkParams
    training: TrainingParams
    iterations: int
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    terms: Callable[[], dict[str, Term]] = dict
    teacher: NetworkParams | None = None


def trainings(plan: experiment.ExperimentParams) -> dict[str, Training]:
    """All trainings of the experiment by the names of their stages; copies of a ``checkpoint`` are none.

    Raises:
        UserError: a parameter file is missing or wrong.
    """
    found = {}
    for dataset in plan.run:
        labels, start, taught = labeller.load(dataset), pretrain.load(dataset), teacher.load(dataset)
        students = student.load(dataset)
        for seed in plan.seeds:
            if labels.checkpoint is None:
                found[f"labeller@{dataset}-{seed}"] = Training(
                    f"{dataset} labeller", dataset, labels.network, labels.training, labels.training.iterations
                )
            found[f"teacher@{dataset}-{seed}"] = _teacher(dataset, taught)
        for one in plan.starts() if start.checkpoint is None else ():
            found[f"pretrain@{dataset}-{one.architecture}-{one.seed}"] = Training(
                f"{dataset} start {one.architecture}",
                dataset,
                students.network(one.architecture),
                start.training,
                start.training.iterations,
            )
        families = zip(("student", "student_distilled", "student_ablation"), plan.groups().values(), strict=True)
        for family, (schemes, seeds) in families:
            for one in plan.runs():
                if one.scheme in schemes and one.seed in seeds:
                    found[f"{family}@{dataset}-{one.name}"] = _student(dataset, one, students, taught.network)
    return found


def _teacher(dataset: str, settings: teacher.TeacherParams) -> Training:
    weights = {"tl": settings.tl} if settings.tl else {}
    return Training(
        f"{dataset} teacher",
        dataset,
        settings.network,
        settings.training,
        settings.training.iterations,
        weights,
        lambda: {name: MotionTerm(settings.motion) for name in weights},
    )


def _student(dataset: str, one: experiment.Run, settings: student.StudentParams, taught_by: NetworkParams) -> Training:
    weights = dict(settings.scheme(one.scheme))
    factor = settings.iterations_factor.get(one.scheme, 1.0)
    return Training(
        " ".join([dataset, one.architecture, "+".join(weights)]).rstrip(),
        dataset,
        settings.network(one.architecture),
        settings.training,
        max(1, round(settings.training.iterations * factor)),
        weights,
        lambda: build_terms(weights, settings.losses, settings.training.class_weights),
        taught_by if student.needs_teacher(weights) else None,
    )


def clock(device: str, threads: int) -> Callable[[], float]:
    """Processor seconds where one thread computes, so that other programs change little; else those of a wall clock."""
    return time.process_time if device == "cpu" and threads == 1 else time.perf_counter


def step_seconds(training: Training, size: tuple[int, int]) -> tuple[float, int]:
    """Seconds of one optimiser step, measured in the loop of the stages, in a temporary folder.

    Args:
        training: what is trained; with random weights.
        size: height and width of the frames, pixels.

    Returns:
        The seconds, see :func:`clock`, and the bytes of the network's weights.

    Raises:
        UserError: the device is not there, or the network cannot be built.
    """
    machine = training.training.machine.model_copy(update={"workers": 0, "compile": False})
    # So low that noise in place of frames does no harm.
    settings = training.training.model_copy(update={"machine": machine, "lr": 1e-6, "warmup": 0, "judge_every": None})
    set_determinism(0, machine.threads)
    accelerator = start_accelerator(machine)
    height, width = settings.augment.crop
    if accelerator.device.type == "cpu" and settings.batch * height * width > LARGE:
        settings = settings.model_copy(update={"batch": 2, "accumulate": 1})
    classes = len(settings.class_weights or range(19))
    loss = SegmentationLoss(
        settings.class_weights, settings.ohem_threshold, settings.ohem_fraction, settings.auxiliary_weight
    )
    network = registry.build(training.network.architecture, classes, training.network.width)
    objective = Objective(network, loss, training.terms(), training.weights, settings.freeze_bn)
    one = training.teacher
    frozen = registry.build(one.architecture, classes, one.width) if one else None
    samples = Samples(_clips(size, classes), settings.augment, 0, settings.batch, objective.frames, cache_mb=1000)
    if training.training.machine.workers:
        # Loader processes hide what loading costs.
        samples = [samples[0]] * (settings.batch * (MOST_STEPS + 1))
    now, ends = clock(accelerator.device.type, machine.threads), []
    after = objective.after_step

    def after_step() -> None:
        after()
        ends.append(now())

    objective.after_step = after_step

    def measure(steps: int) -> float:
        """Between the ends of ``steps`` + 1 steps: what comes before and after all steps does not count."""
        ends.clear()
        with tempfile.TemporaryDirectory() as folder:
            work = WorkFolder(Path(folder), fingerprint({}, {}))
            train(objective, frozen, samples, settings, steps + 1, 0, accelerator, work, training.kind)
        return (ends[-1] - ends[0]) / steps * training.training.batch / settings.batch

    seconds = measure(1)
    if seconds <= SECONDS:
        seconds = measure(min(MOST_STEPS, max(2, int(SECONDS / seconds))))
    return seconds, sum(tensor.nbytes for tensor in network.state_dict().values())


def _clips(size: tuple[int, int], classes: int) -> Clips:
    """A clip of three frames of noise with labels and flow."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    label = rng.integers(0, classes, size, np.uint8)
    flow, visible = np.zeros((*size, 2), np.float32), np.ones(size, bool)
    return Clips(
        images={"noise": dict.fromkeys(range(3), lambda: picture)},
        annotated=[Labelled("noise", 1, lambda: label)],
        flow=lambda clip: lambda source, target, window: (flow[window], visible[window]),
    )


def peak_memory() -> int:
    """Most bytes of memory that this process has had."""
    # Kilobytes, on macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(dataset: str) -> Iterator[dict[str, Any]]:
    """``name`` (the kind), ``seconds`` of a step, ``bytes`` of the weights and ``memory``, for each kind of training.

    What cannot be measured, as it lacks a package or a file, is left out.

    Raises:
        UserError: a parameter file is missing or wrong.
    """
    plan = experiment.load().model_copy(update={"run": [dataset]})
    size = check.known_size(dataset, frames.load(dataset))
    for one in {one.kind: one for one in trainings(plan).values()}.values():
        with contextlib.suppress(UserError):
            seconds, weights = step_seconds(one, size or one.training.augment.crop)
            yield {"name": one.kind, "seconds": seconds, "bytes": weights, "memory": peak_memory()}


if __name__ == "__main__":
    for record in measured(sys.argv[1]):
        print(json.dumps(record), flush=True)
