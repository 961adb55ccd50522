"""What `etc doctor` and `etc plan` ask about the project in this folder and its machine."""

import os
from typing import TYPE_CHECKING

from etc.doctor import Finding, Frames

if TYPE_CHECKING:
    from etc.pipeline.graph import Graph


def memory() -> int | None:
    """Bytes of this machine's memory; None where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


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
