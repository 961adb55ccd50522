"""``etc doctor``: what is installed and found here, what ``make results`` would do, and what is wrong."""

import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from etc import doctor as report
from etc.commands.run import run
from etc.doctor import Finding, Frames

if TYPE_CHECKING:
    from etc.pipeline.graph import Graph


def doctor() -> None:
    """Say what is installed and found, and what is wrong.

    Packages, data sets, GPU, disk, and what `make results` would do; `etc plan` says what that costs. Runs and changes
    nothing. Exits with 1 when something is wrong; what to do about it is said last.
    """
    run(_doctor)


def _doctor() -> None:
    findings = [*_here(), *_project()]
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


def _project() -> Iterator[Finding]:
    if not Path("dvc.yaml").is_file():
        yield Finding("project", "none in this folder (no dvc.yaml); in a clone there is more to say")
        return
    try:
        yield from _chain()
    except ModuleNotFoundError as error:  # which packages are missing is said already
        yield Finding("project", f"not looked into, {error.name} is not installed")


def _chain() -> Iterator[Finding]:
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


def memory() -> int | None:
    """Bytes of this machine's memory; None where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _video() -> Finding:
    import av

    name = "libx264"  # as etc predict writes .mp4
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        wrong = f"PyAV has no encoder {name}, so that no .mp4 can be written: pip install --force-reinstall av"
        return Finding("videos", f"PyAV {av.__version__} without H.264", (wrong,))
    return Finding("videos", f"PyAV {av.__version__} writes H.264")


def whereabouts(name: str, runs: bool) -> Frames:
    """Where the frames of a data set are."""
    from etc.core.errors import UserError
    from etc.params import frames
    from etc.sources import registry

    try:
        settings = frames.load(name)
        if isinstance(settings, frames.StreetParams):
            return Frames(name, runs, "rendered here")
        location = registry.build(name, settings).location
        folder = location.find()
    except UserError as error:
        return Frames(name, runs, "", str(error))
    remedy = location.remedies() + f", or download it: etc frames {name}" * bool(location.fetched)
    return Frames(name, runs, str(folder or ""), remedy)


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


def verdict() -> "Graph | Finding":
    """DVC's verdict; where it cannot be had, why."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    from etc.core.errors import first_line
    from etc.pipeline import graph
    from etc.pipeline.recovery import live_holders

    if holders := live_holders():
        return Finding("make results", f"runs here at this moment (process {', '.join(map(str, holders))})")
    try:
        return graph.load()
    except (DvcException, LockError) as error:
        remedy = "see `dvc status`; without git, run `dvc config --local core.no_scm true`"
        wrong = f"DVC cannot read this project ({first_line(error)}): {remedy}"
        return Finding("make results", "not known", (wrong,))
