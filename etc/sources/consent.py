"""The user's agreement to a download."""

import sys
from pathlib import Path

from etc.core.errors import UserError


def can_ask() -> bool:
    """Whether there is a terminal to ask on."""
    return sys.stdin.isatty()


def unasked(name: str, what: str, folder: Path) -> UserError:
    """What is raised where there is neither an agreement nor a terminal."""
    return UserError(f"{name}: {what} would be downloaded to {folder}; agree with --yes, or on a terminal")


def ask(name: str, what: str, folder: Path, remedy: str) -> None:
    """Ask on the terminal.

    Args:
        name: of the data set.
        what: would be downloaded, e.g. its size.
        folder: where to.
        remedy: what to do instead.

    Raises:
        UserError: the answer is not yes.
    """
    print(f"Download {what} to {folder}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError(f"{name}: not agreed, so nothing is downloaded; {remedy}")
