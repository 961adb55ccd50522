"""The exception for bad input, and how messages are shown."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, row or key, the value and the remedy."""


def first_line(error: BaseException) -> str:
    """The first line of another library's error, for a ``UserError`` to quote; its class name if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(":") if lines else type(error).__name__


def visible(text: str, keep: str = "") -> str:
    """``text`` with escapes such as ``\\x1b`` in place of characters that a terminal obeys or cannot show.

    Args:
        text: a message that may quote names of files or values.
        keep: characters that stay as they are, e.g. a line break.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def many(number: int, one: str, several: str = "", form: str = "") -> str:
    """A number with what it counts: ``1 clip``, ``2 clips``.

    Args:
        number: how many.
        one: the words after 1.
        several: those after any other number; default: ``one`` with an s.
        form: of the number, e.g. ``,`` for commas between thousands.
    """
    return f"{number:{form}} {one if number == 1 else several or one + 's'}"
