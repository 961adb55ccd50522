"""What a whole run of a data set costs here: hours, disk and memory of its stages, from measured rates.

``etc/duration.py`` and ``etc/trial.py`` measure; this module extrapolates, and says what to change.
"""

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from etc.core.errors import many
from etc.doctor import GB, Finding, kind_of, some

# Longer than this there is something to say about the time.
LONG = 24 * 3600.0  # seconds
# The system and other programs need some of the memory.
USABLE = 0.9
# Where most of the bytes come from, and how to have fewer.
SMALLER = {
    "frames": "smaller or fewer 'clips' in params/frames.yaml",
    "flow": "'scale' 4 stores a quarter of scale 2, a smaller 'max_offset' fewer pairs (params/flow.yaml)",
    "pseudo-labels": "a larger 'stride' in params/pseudo_labels.yaml, fewer 'seeds' in params/experiment.yaml",
    "networks": "fewer 'seeds' or schemes in params/experiment.yaml",
}


class Work(NamedTuple):
    """What one stage is going to do.

    Attributes:
        amounts: how much of each measured rate, by the rate's name.
        threads: that it keeps busy.
        gpu: whether it uses a GPU where there is one.
        priority: stages with a higher one start first.
    """

    amounts: Mapping[str, float]
    threads: int = 1
    gpu: bool = False
    priority: int = 0


class Costs(NamedTuple):
    """What the stages cost.

    Attributes:
        seconds: of each stage whose rates are all known.
        unknown: rates that could not be measured, sorted.
    """

    seconds: dict[str, float]
    unknown: list[str]


def costs(work: Mapping[str, Work], rates: Mapping[str, float]) -> Costs:
    """Seconds of each stage.

    Args:
        work: of each stage.
        rates: seconds by name.
    """
    needed = {name for one in work.values() for name, amount in one.amounts.items() if amount}
    unknown = needed - set(rates)
    seconds = {
        stage: sum(amount * rates[name] for name, amount in one.amounts.items() if amount) / one.threads
        for stage, one in work.items()
        if not unknown & {name for name, amount in one.amounts.items() if amount}
    }
    return Costs(seconds, sorted(unknown))


def makespan(
    seconds: Mapping[str, float],
    work: Mapping[str, Work],
    predecessors: Mapping[str, Sequence[str]],
    cores: int,
    gpus: int,
) -> float:
    """Seconds until the last stage ends, when each starts as soon as it can, by priority.

    Args:
        seconds: of the stages that run.
        work: of each of them.
        predecessors: the stages before each stage; those that do not run are done.
        cores: threads at a time.
        gpus: 0 where there are none; a GPU has one stage at a time.
    """
    waiting = {stage: {one for one in predecessors.get(stage, ()) if one in seconds} for stage in seconds}
    order = sorted(seconds, key=lambda stage: -work[stage].priority)
    ends: list[tuple[float, str]] = []
    now, free = 0.0, {"cores": cores, "gpus": gpus}
    while waiting or ends:
        for stage in order:
            if stage not in waiting or waiting[stage]:
                continue
            need = _need(work[stage], cores, gpus)
            if all(free[name] >= number for name, number in need.items()):
                del waiting[stage]
                for name, number in need.items():
                    free[name] -= number
                heapq.heappush(ends, (now + seconds[stage], stage))
        now, done = heapq.heappop(ends)
        for name, number in _need(work[done], cores, gpus).items():
            free[name] += number
        for before in waiting.values():
            before.discard(done)
    return now


def _need(one: Work, cores: int, gpus: int) -> dict[str, int]:
    return {"cores": min(one.threads, cores), "gpus": 1 if one.gpu and gpus else 0}


def time_of(
    work: Mapping[str, Work],
    found: Costs,
    predecessors: Mapping[str, Sequence[str]],
    due: Collection[str],
    cores: int,
    gpus: int,
) -> list[Finding]:
    """The lines about time.

    Args:
        work: of each stage.
        found: what they cost.
        predecessors: the stages before each stage.
        due: names of the stages that DVC would run now.
        cores, gpus: see :func:`makespan`.
    """
    seconds = found.seconds
    if not seconds:
        return [Finding("time", "not measured", ("nothing could be measured; `etc doctor` says what is missing",))]
    lasts = makespan(seconds, work, predecessors, cores, gpus)
    families: defaultdict[str, float] = defaultdict(float)
    for stage, taken in seconds.items():
        families[kind_of(stage)] += taken * work[stage].threads
    total = sum(families.values())
    listed = sorted(families.items(), key=lambda one: -one[1])
    shares = ", ".join(f"{name} {taken / total:.0%}" for name, taken in listed if taken >= 0.01 * total)
    jobs = (
        "one stage on the GPU at a time" if gpus == 1 else f"{many(cores, 'core')} busy" if not gpus else f"{gpus} GPUs"
    )
    wrong = ()
    if lasts > LONG:
        gpu = "" if gpus else "a GPU (docs/gpus.md), "
        wrong = (
            f"{long(lasts)} is long: {gpu}fewer 'seeds' and schemes of 'ablation' in params/experiment.yaml, or "
            f"fewer 'iterations' of {listed[0][0]}, the largest part",
        )
    text = f"about {long(lasts)} with {jobs} and nothing beside; {long(total)} of work: {shares}"
    lines = [Finding("time", text, wrong)]
    if found.unknown:
        left = len(work) - len(seconds)
        lines.append(
            Finding(
                "",
                f"without {many(left, 'stage')}: not measured, as it takes too long, does not fit or "
                f"lacks something: {some(found.unknown)}",
            )
        )
    on_gpu = sum(taken for stage, taken in seconds.items() if work[stage].gpu)
    lines.append(Finding("GPU", f"{on_gpu / 3600:.2g} GPU-hours" if gpus else "none here"))
    now = {stage: taken for stage, taken in seconds.items() if stage in due}
    text = f"{len(due)} of {many(len(work), 'stage')}"
    text += f", about {long(makespan(now, work, predecessors, cores, gpus))}" if now else ""
    return [*lines, Finding("due now", text if due else "nothing")]


def disk(sizes: Mapping[str, float], copies: int, free: int) -> Finding:
    """The line about disk.

    Args:
        sizes: bytes in ``data/`` by the keys of ``SMALLER``.
        copies: of each file: 2 where DVC's cache holds one of its own.
        free: bytes on this disk.
    """
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {size / GB:.2g}" for name, size in sizes.items() if size)
    cache = f", with DVC's cache {copies * total / GB:.2g} GB" if copies > 1 else ", linked from DVC's cache"
    wrong = ()
    if copies * total > free:
        link = "`dvc config cache.type hardlink,symlink` saves the second copy; " if copies > 1 else ""
        most = max(sizes, key=lambda name: sizes[name])
        wrong = (f"{copies * total / GB:.3g} GB do not fit into {free / GB:.3g} GB: {link}{most}: {SMALLER[most]}",)
    return Finding("disk", f"{total / GB:.2g} GB in data/ ({parts}){cache}; {free / GB:.1f} GB free", wrong)


def memory(largest: Mapping[str, float], cores: int, there: int | None) -> Finding:
    """The line about memory.

    Args:
        largest: the most bytes of a process, by what it did.
        cores: stages at a time.
        there: bytes of this machine; None where not known.
    """
    most = max(largest, key=lambda name: largest[name])
    one = largest[most]
    text = f"at most {one / GB:.1f} GB a stage ({most}), {cores * one / GB:.1f} GB for {cores} at a time"
    if there is None:
        return Finding("memory", text)
    wrong = ()
    fit = int(USABLE * there / one)
    if fit < 1:
        wrong = (
            f"{most}: {one / GB:.1f} GB do not fit into {there / GB:.1f} GB: lower 'batch' or 'crop' of it, or "
            "raise 'accumulate'",
        )
    elif fit < cores:
        wrong = (f"{cores} stages at a time do not fit into {there / GB:.1f} GB: snakemake --cores {fit}",)
    return Finding("memory", f"{text}; {there / GB:.1f} GB here", wrong)


def long(seconds: float) -> str:
    """A duration in words."""
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
        if seconds < 2 * LONG
        else f"{seconds / LONG:.1f} days"
    )


def amounts(
    stage: str, counts: Mapping[str, float], training: Any, purpose: str, network: str, workers: int
) -> dict[str, float]:
    """How much a stage does of what is measured.

    Args:
        stage: its name in dvc.yaml.
        counts: of the data set, see :func:`etc.workload.counts`.
        training: of a training, an :class:`etc.duration.Training`; None for others, or where a network is copied.
        purpose: of a flow.
        network: architecture and width that a training trains, or an evaluation judges.
        workers: processes that the frames and the flow of clips are shared among.
    """
    kind = kind_of(stage)
    if kind == "check":
        return {"dvc": 1, "light": 1}
    if kind in ("frames", "flow"):
        rate = f"flow {purpose}" if purpose else kind
        # Each worker loads the same modules.
        return {"dvc": 1, "light": 1 + (workers if workers > 1 else 0), rate: counts[rate]}
    start = {"dvc": 1, "stage": 1}
    if kind == "pseudo_labels":
        return {**start, kind: counts[kind]}
    if kind == "evaluate":
        return {**start, f"evaluate {network}": counts["evaluate"]}
    if kind == "report":
        return {"dvc": 1, "light": 1, "report": 1}
    if training is None:
        return start
    every = training.training.judge_every
    judgements = -(-training.iterations // every) if every else 0
    return {**start, training.kind: training.iterations, f"dev {network}": judgements * counts["dev"]}
