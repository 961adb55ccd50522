"""Notes of a listing: each is one line, and many of a kind become a few."""

from collections.abc import Sequence

SHOWN = 3


def shortened(lines: Sequence[str], what: str) -> list[str]:
    """The first three lines, and a fourth that counts the others.

    Args:
        lines: one a case.
        what: names the cases in the last line, e.g. ``files left out``.
    """
    rest = len(lines) - SHOWN
    # One more line says as much as a count of one.
    if rest <= 1:
        return list(lines)
    return [*lines[:SHOWN], f"... and {rest} more {what}"]
