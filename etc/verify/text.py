"""A comparison in words and tables, for a terminal or a log."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table as Grid

from etc.core.errors import visible
from etc.reporting.tables import plain_text
from etc.verify.locks import Verdict
from etc.verify.tables import SPREAD, Difference, Table

SHOWN = 3
WORDS = {"equal": "equal", "first": "DIFFERS", "follows": "follows", "changed": "changed", "unfinished": "not run"}


def stages(verdicts: Sequence[Verdict]) -> str:
    """A line for each stage, and what they come to."""
    lines = [(WORDS[one.kind], one.stage, _why(one)) for one in verdicts]
    numbers = Counter(one.kind for one in verdicts)
    parts = {
        "first": "the first to differ: " + ", ".join(one.stage for one in verdicts if one.kind == "first"),
        "changed": f"changed here: {numbers['changed']}",
        "follows": f"follow from that: {numbers['follows']}",
        "unfinished": f"have not run, or not as they are now: {numbers['unfinished']}; run `make results`",
    }
    said = "; ".join(text for kind, text in parts.items() if numbers[kind])
    equal = f"{numbers['equal']} of {len(verdicts)} stages are equal"
    return f"{_grid([], lines)}\n\n{equal}{said and f'; {said}'}."


def tables(compared: Sequence[Table]) -> str:
    """A line for each table."""
    rows = [
        (one.name, f"{one.values}", f"{one.differing}", f"{one.largest:.4g}" if one.largest else "", one.place)
        for one in compared
    ]
    return _grid(["table", "values", "differ", "by at most", "where"], rows, right=(1, 2, 3))


def findings(found: Sequence[Difference]) -> str:
    """Each difference between schemes beside its committed interval, and whether they hold."""
    words = {True: "inside", False: "OUTSIDE", None: "none"}
    rows = [(one.row, one.quantity, _interval(one), _signed(one.here), words[one.holds]) for one in found]
    grid = _grid(["scheme", "difference", "committed", "here", "interval"], rows, right=(2, 3))
    unknown = [f"{one.quantity} of {one.row}" for one in found if one.holds is None]
    lost = [f"{one.quantity} of {one.row}" for one in found if one.holds is False]
    inside = sum(one.holds is True for one in found)
    if lost:
        verdict = f"Not all findings hold: {', '.join(lost)}"
    elif unknown or not inside:
        verdict = "Nothing says whether the findings hold"
        verdict += f": no interval for {', '.join(unknown)}" if unknown else ""
    else:
        verdict = "The findings hold"
    rule = "widened by the spread between chains; for one chain, the largest of the others"
    if all(one.spread is None for one in found):
        rule = f"not widened: the committed table has no spread between chains, columns *{SPREAD}"
    return f"{grid}\n\n{verdict}. {inside} of {len(found)} differences are in their committed interval ({rule})."


def made_by(lines: Iterable[tuple[str, str, str]]) -> str:
    """What both sides were made by."""
    return _grid(["made by", "committed", "here"], lines)


def foreign(names: Sequence[str]) -> str:
    """That some stages have run without the portable settings, whatever is set now."""
    return f"Without the portable settings (ETC_PORTABLE=0), or on a GPU, ran here: {some(names)}."


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _why(one: Verdict) -> str:
    listed = some(one.details)
    sentences = {
        "equal": f"although this was changed: {listed}" if listed else "",
        "first": f"equal command, code, parameters and inputs gave other bytes: {listed}",
        "follows": f"from {listed}",
    }
    return sentences.get(one.kind, listed)


def _interval(one: Difference) -> str:
    if one.low is None or one.high is None:
        return _signed(one.committed)
    wider = f" ± {one.spread:.2f}" if one.spread else ""
    return f"{_signed(one.committed)} [{_signed(one.low)}, {_signed(one.high)}]{wider}"


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2f}"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_header=bool(head))
    rows = list(rows)
    for number in range(len(head) or len(rows[0])):
        title = head[number] if head else ""
        grid.add_column(title, justify="right" if number in right else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(visible, row))
    return plain_text(grid, width=1000)
