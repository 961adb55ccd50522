"""``etc doctor``: what is installed and found here, what ``make results`` would do, and what is wrong."""

import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etc import doctor as report
from etc.commands.arguments import CORES
from etc.commands.plan import estimate
from etc.commands.project import memory, verdict, whereabouts
from etc.commands.run import run
from etc.doctor import Finding

if TYPE_CHECKING:
    from etc.pipeline.graph import Graph


def doctor(
    fast: Annotated[bool, typer.Option("--fast", help="Do not measure how long a run takes here.")] = False,
) -> None:
    """Say what is installed and found, and what is wrong.

    Packages, data sets, GPU, disk, what `make results` would do and how long a whole run takes here, as `etc plan`
    measures it. Changes nothing. Exits with 1 when something is wrong; what to do about it is said last.
    """
    run(lambda: _doctor(fast))


def _doctor(fast: bool) -> None:
    findings = [*_here(), *_project(fast)]
    print(report.text(findings, min(120, shutil.get_terminal_size().columns)))
    if any(one.wrong for one in findings):
        raise SystemExit(1)


def _here() -> Iterator[Finding]:
    """What does not depend on the folder, but for its disk and its requirements.lock."""
    from etc.core import portable
    from etc.verify.machine import REQUIREMENTS, pins, this_machine
    from etc.version import version

    machine = this_machine()
    yield Finding("etc", f"{version()}, Python {machine['python']}, {machine['system']}, {machine['libc']}")
    yield Finding("processor", f"{machine['cpu']}, {os.cpu_count()} cores")
    yield Finding(
        "settings",
        "portable: the bits of every x86-64 processor with AVX2"
        if portable.IN_FORCE
        else f"not portable, other bits than the committed ones: {portable.OFF} is 0, or this is no x86-64 with AVX2",
    )
    locked = pins(REQUIREMENTS.read_text(encoding="utf-8")) if REQUIREMENTS.is_file() else {}
    optional = [name for names, _ in report.OPTIONAL.values() for name in names]
    here = {name: _installed(name) for name in (*locked, *report.PIPELINE, *optional)}
    yield report.packages(locked, here)
    yield report.optional(here)
    yield _gpu()
    yield report.space(shutil.disk_usage(os.curdir).free, memory())
    yield _video()


def _project(fast: bool) -> Iterator[Finding]:
    if not Path("dvc.yaml").is_file():
        yield Finding("project", "none in this folder (no dvc.yaml); in a clone there is more to say")
        return
    try:
        yield from _chain(fast)
    except ModuleNotFoundError as error:  # which packages are missing is said already
        yield Finding("project", f"not looked into, {error.name} is not installed")


def _chain(fast: bool) -> Iterator[Finding]:
    from etc.core.errors import UserError
    from etc.core.params_file import blocks
    from etc.params import frames
    from etc.params.check import check_all

    try:
        runs = check_all().run
        yield Finding("params", f"in order; data sets that run: {', '.join(runs)}")
    except UserError as error:
        yield Finding("params", "wrong", (str(error),))
        return
    yield from report.data([whereabouts(name, name in runs) for name in blocks(frames.PATH)])
    lock = _lock()
    yield lock
    if lock.wrong:
        return
    graph = verdict()
    if isinstance(graph, Finding):
        yield graph
        return
    yield report.results(graph.due, len(graph.stages))
    if graph.due and not fast:
        for name in runs:
            yield from _time(name, graph)


def _time(dataset: str, graph: "Graph") -> Iterator[Finding]:
    from etc.core.errors import UserError

    try:
        yield from (one for one in estimate(dataset, graph, CORES) if one.what == "time")
    except UserError as error:
        yield Finding("time", f"not measured: {error}")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _gpu() -> Finding:
    try:
        import torch
    except ModuleNotFoundError:
        return Finding("GPU", "not known without torch")
    if not torch.cuda.is_available():
        hint = f", though there is an nvidia-smi: torch {torch.__version__} or the driver does not fit"
        return Finding("GPU", "none that torch can use" + hint * bool(shutil.which("nvidia-smi")))
    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return Finding("GPU", ", ".join(f"{one.name} ({one.total_memory / report.GB:.0f} GB)" for one in devices))


def _video() -> Finding:
    import av

    name = "libx264"  # as etc predict writes .mp4
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        wrong = f"PyAV has no encoder {name}, so that no .mp4 can be written: pip install --force-reinstall av"
        return Finding("videos", f"PyAV {av.__version__} without H.264", (wrong,))
    return Finding("videos", f"PyAV {av.__version__} writes H.264")


def _lock() -> Finding:
    from etc.pipeline import committed, lockfile

    if not lockfile.LOCK.exists():
        return Finding("dvc.lock", "none: nothing was made here")
    content = lockfile.LOCK.read_bytes()
    if not lockfile.is_whole(content):
        wrong = f"{lockfile.LOCK} is damaged or half merged: `etc check` puts the last good one back, or choose a side"
        return Finding("dvc.lock", "damaged", (wrong,))
    known = committed.show("HEAD", lockfile.LOCK)
    return Finding(
        "dvc.lock",
        "not in git" if known is None else "as committed" if known == content else "differs from git's last commit",
    )
