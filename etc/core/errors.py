"""The one exception that means: the input is wrong, and this line says how to put it right."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, row or key, the value and the remedy."""


def first_line(error: Exception) -> str:
    """The first line of what another library says, to be quoted in a ``UserError``; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
