"""The exception for bad input: one line that says what is wrong and what to do."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, row or key, the value and the remedy."""


def first_line(error: Exception) -> str:
    """The first line of another library's error, for a ``UserError`` to quote; its class name if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
