"""What git has of this folder, read without touching it."""

import subprocess
from pathlib import Path

from etc.core.errors import UserError


def commit(revision: str) -> str:
    """The full hash of a revision.

    Raises:
        UserError: there is no git, no repository or no such revision.
    """
    try:
        inside = _git("rev-parse", "--is-inside-work-tree")
    except FileNotFoundError as error:
        raise UserError("git: no such command; install it, the committed results are read with it") from error
    if inside.returncode:
        reason = inside.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise UserError(f"nothing is committed here to compare with ({reason}); use a clone of the repository")
    found = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found.returncode:
        raise UserError(f"'{revision}' is no revision of this repository; `git log --oneline` lists them")
    return found.stdout.decode().strip()


def show(revision: str, path: Path) -> bytes | None:
    """A file of this folder as it is in a revision; None where there is no git or no such file."""
    try:
        shown = _git("show", f"{revision}:./{path.as_posix()}")
    except FileNotFoundError:
        return None
    return shown.stdout if shown.returncode == 0 else None


def names(revision: str, folder: Path) -> list[str]:
    """Names of the files of a folder in a revision, sorted; none where it is not there."""
    listed = _git("ls-tree", "-z", "--name-only", revision, f"{folder.as_posix()}/")
    return [Path(name).name for name in listed.stdout.decode().split("\0") if name]


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], capture_output=True)
