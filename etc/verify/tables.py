"""Two versions of a table: which values differ, and whether each difference between schemes is in its interval."""

import csv
import io
import math
from dataclasses import dataclass

from etc.params.student import RESERVED

# Columns that name a row.
KEYS = ("architecture", "scheme", "against", "clip", "seed", "split", "class")
# A difference has its interval in columns of these endings, and may have the spread between chains.
LOW, HIGH, SPREAD = "_low", "_high", "_spread"
Rows = dict[tuple[str, ...], dict[str, str]]


@dataclass(frozen=True)
class Table:
    """How two versions of a table differ.

    Attributes:
        name: of the file.
        values: how many there are beside the names of rows.
        differing: how many of them differ, those that one side lacks included.
        largest: the largest difference between two numbers; 0 without one.
        place: column and row of it.
    """

    name: str
    values: int
    differing: int
    largest: float
    place: str


@dataclass(frozen=True)
class Difference:
    """A difference between schemes beside its committed interval, percentage points; None where there is no value.

    Attributes:
        row: architecture and scheme.
        quantity: e.g. ``delta_tc``.
        committed: with its interval from ``low`` to ``high``.
        spread: standard deviation of this difference between chains, by which the interval is widened on both sides;
            for a scheme with one chain the largest that the table has; None where it has none.
        here: the value on this machine.
    """

    row: str
    quantity: str
    committed: float
    low: float | None
    high: float | None
    spread: float | None
    here: float | None

    @property
    def holds(self) -> bool | None:
        """Whether the value here is the committed one, or in its interval; None where there is no interval."""
        if self.here is None or self.here == self.committed:
            return self.here is not None
        if self.low is None or self.high is None:
            return None
        wider = self.spread or 0.0
        return self.low - wider <= self.here <= self.high + wider


def compare(name: str, committed: str, here: str) -> Table:
    """Compare two versions of a table, CSV with a header, value by value."""
    old, new = _rows(committed), _rows(here)
    cells = {(row, column): None for side in (old, new) for row, values in side.items() for column in values}
    pairs = {(row, column): (old.get(row, {}).get(column), new.get(row, {}).get(column)) for row, column in cells}
    differing = {cell: pair for cell, pair in pairs.items() if pair[0] != pair[1]}
    sizes = {cell: _distance(*pair) for cell, pair in differing.items()}
    (row, column), largest = max(sizes.items(), key=lambda item: item[1], default=(((), ""), 0.0))
    return Table(name, len(cells), len(differing), largest, f"{column} of {' '.join(row)}" if largest else "")


def differences(committed: str, here: str) -> list[Difference]:
    """The differences of a table of schemes, CSV, that have a value in its committed version."""
    found, old, new = [], _rows(committed), _rows(here)
    for row, values in old.items():
        for name in values:
            value = _number(values[name])
            if f"{name}{LOW}" not in values or value is None:
                continue
            low, high = (_number(values.get(f"{name}{end}")) for end in (LOW, HIGH))
            spread = _number(values.get(f"{name}{SPREAD}"))
            if spread is None:
                # Those of the networks that students learn from are not of this kind.
                students = (values for key, values in old.items() if not set(RESERVED) & set(key))
                measured = (_number(other.get(f"{name}{SPREAD}")) for other in students)
                spread = max((one for one in measured if one is not None), default=None)
            one = _number(new.get(row, {}).get(name))
            found.append(Difference(" ".join(row), name, value, low, high, spread, one))
    return found


def _rows(text: str) -> Rows:
    rows = {}
    for line in csv.DictReader(io.StringIO(text), restkey="", restval=""):
        key = tuple(line[name] for name in KEYS if name in line)
        rows[key] = {name: value for name, value in line.items() if name not in KEYS}
    return rows


def _distance(one: str | None, other: str | None) -> float:
    numbers = _number(one), _number(other)
    return 0.0 if None in numbers else abs(numbers[0] - numbers[1])


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
