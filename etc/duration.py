"""How long the trainings of the experiment take here, from a few steps of each kind on made-up frames.

``python -m etc.duration STAGE ...`` prints a line of JSON for each training among these stages of dvc.yaml, and a
second one when it has been measured. ``etc doctor`` runs it as a process of its own, since the system may end one that
needs more memory than there is.
"""

import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
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
SECONDS = 0.5
MOST_STEPS = 10
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


def step_seconds(training: Training, size: tuple[int, int]) -> float:
    """Seconds of one optimiser step, measured in the loop of the stages, in a temporary folder.

    Args:
        training: what is trained; with random weights.
        size: height and width of the frames, pixels.

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
        samples = [samples[0]] * (settings.batch * MOST_STEPS)

    def measure(steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            work = WorkFolder(Path(folder), fingerprint({}, {}))
            history = train(objective, frozen, samples, settings, steps, 0, accelerator, work, training.kind)
        return history.seconds / steps * training.training.batch / settings.batch

    first = measure(1)
    return first if first > SECONDS else measure(min(MOST_STEPS, max(2, int(SECONDS / first))))


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


def measured(stages: Collection[str]) -> Iterator[dict[str, Any]]:
    """The stage, kind and iterations of each training among some stages, and the seconds of a step.

    All come once without seconds, None, then those that could be measured with them.

    Raises:
        UserError: a parameter file is missing or wrong.
    """
    due = {stage: one for stage, one in trainings(experiment.load()).items() if stage in stages}
    known: dict[str, float] = {}
    for measure in (False, True):
        for stage, one in due.items():
            if measure and one.kind not in known:
                size = check.known_size(one.dataset, frames.load(one.dataset))
                with contextlib.suppress(UserError):
                    known[one.kind] = step_seconds(one, size or one.training.augment.crop)
            yield {"stage": stage, "kind": one.kind, "iterations": one.iterations, "seconds": known.get(one.kind)}


if __name__ == "__main__":
    for record in measured(sys.argv[1:]):
        print(json.dumps(record), flush=True)
