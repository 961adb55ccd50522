"""Tables as plain text, for a terminal or a log."""

from io import StringIO

from rich.console import Console
from rich.table import Table


def plain_text(table: Table, width: int) -> str:
    """The table without colours, blanks at the ends of lines and empty lines around it.

    Args:
        table: what to show.
        width: more columns than any table needs: a narrow terminal wraps lines but hides nothing.
    """
    stream = StringIO()
    Console(file=stream, width=width, color_system=None, markup=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n")).strip("\n")
