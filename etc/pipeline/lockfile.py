"""A good copy of dvc.lock, put back when a killed DVC has left half of one.

DVC writes the file in place, and with half of it no command of DVC starts any more. So each stage that DVC runs starts
a guard: a process of its own that keeps a copy of the file as it is now, waits for the end of that DVC, and puts the
copy back when the file is broken then. What was made since the copy comes back from DVC's run cache. A run of Snakemake
looks by itself before it asks DVC, for the case that the guard was killed too.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import yaml

from etc.core.files import atomic
from etc.pipeline import committed
from etc.pipeline.recovery import live_holders

LOCK = Path("dvc.lock")
COPY = Path(".dvc/tmp/dvc.lock")
# What was found broken is kept for a look.
BROKEN = Path(".dvc/tmp/dvc.lock.broken")
# libyaml reads a long file ten times as fast as the same loader in Python, the only one where libyaml is missing.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


def start_guard() -> None:
    """Keep a copy and start the guard, when DVC runs this process in the current folder; it ends with that DVC.

    Run by hand, a stage or ``etc check`` has a look itself.
    """
    if not live_holders():
        restore()
        return
    keep()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, "-m", __name__], start_new_session=True, **quiet)


def guard() -> None:
    """Look at dvc.lock when the DVC processes of this folder have ended.

    Only a broken file is worth DVC's lock, which a DVC that needs it would not wait for long.
    """
    processes = []
    for pid in live_holders():
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    psutil.wait_procs(processes)
    if is_whole(_content(LOCK)):
        return
    from dvc.repo import Repo

    with Repo(os.curdir, _wait_for_lock=True).lock:
        restore()


def keep() -> None:
    """Copy dvc.lock, unless it is broken or missing."""
    # Read once: a DVC beside this one may write it at any moment.
    content = _content(LOCK)
    if is_whole(content):
        with atomic(COPY) as stream:
            stream.write(content)


def restore() -> None:
    """Put back a broken dvc.lock: the copy, else the one of git's last commit; else it is set aside.

    Without one DVC restores what its run cache knows, and makes the rest again. A file with the marks of a merge is
    left to its user.
    """
    found = _content(LOCK)
    if found is None or is_whole(found) or b"<<<<<<<" in found:
        return
    with atomic(BROKEN) as stream:
        stream.write(found)
    origin, content = "its last good copy", _content(COPY)
    if not is_whole(content):
        origin, content = "git's last commit", committed.show("HEAD", LOCK)
    if content is None:
        LOCK.unlink()
        print(f"{LOCK} was broken by a killed run and is set aside as {BROKEN}; DVC makes a new one", file=sys.stderr)
        return
    with atomic(LOCK) as stream:
        stream.write(content)
    print(f"{LOCK} was broken by a killed run; {origin} is back (the broken one: {BROKEN})", file=sys.stderr)


def record(entry: str) -> bool:
    """Put the entry of one stage into dvc.lock, with the bytes that DVC would write; call it under DVC's lock.

    DVC reads and writes all entries for it, which takes seconds where there are hundreds.

    Args:
        entry: a lock of this stage alone, as DVC formats it.

    Returns:
        Whether it is there now. Not when there is no dvc.lock yet, or one with more in it than stages.
    """
    content = _content(LOCK)
    if not content:
        return False
    _, *new = entry.splitlines(keepends=True)
    head, *lines = content.decode().splitlines(keepends=True)
    if not head.startswith("schema:") or lines[:1] != ["stages:\n"] or any(line[0] not in " \n" for line in lines[1:]):
        return False
    starts = [number for number, line in enumerate(lines) if line[:2] == "  " and line[2:3] not in ("", " ")]
    first = next((number for number in starts if lines[number] == new[0]), len(lines))
    last = next((number for number in starts if number > first), len(lines))
    with atomic(LOCK) as stream:
        stream.write("".join([head, *lines[:first], *new, *lines[last:]]).encode())
    return True


def is_whole(content: bytes | None) -> bool:
    """Whether this is a lock that DVC reads, see :func:`stages`."""
    return content is not None and stages(content) is not None


def stages(content: bytes) -> dict[str, Any] | None:
    """The stages of a lock that DVC reads: its schema as far as a cut can break it, a hash for each file; else None."""
    try:
        found = yaml.load(content, _LOADER)["stages"]
        files = [one for stage in found.values() for key in ("deps", "outs") for one in stage.get(key, ())]
        hashes = [one[one.get("hash", "md5")] for one in files if one["path"]]
        commands = [stage["cmd"] for stage in found.values()]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return None
    whole = content.endswith(b"\n") and all(commands) and all(map(_HASH.fullmatch, map(str, hashes)))
    return found if whole else None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    guard()
