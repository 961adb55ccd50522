"""Axes of the page of ``etc tc``; tests/commands/test_tc.py has the page as a whole."""

import pytest

from etc.measure.page import strip


@pytest.mark.parametrize(
    ("value", "ends", "dots", "zero", "texts"),
    [
        (83.1, (82.4, 83.9), {"a": 82.1, "b": 84.0}, False, ["82", "83", "84"]),
        (50.0, (), {"a": 0.0, "b": 100.0}, False, ["0", "50", "100"]),
        (4.0, (3.0, 5.0), {}, True, ["0", "+2", "+4"]),
        (-0.004, (-0.006, -0.002), {}, True, ["-0.006", "-0.004", "-0.002", "0"]),
        (100.0, (100.0, 100.0), {"a": 100.0}, False, ["99.0", "99.5", "100.0"]),
    ],
)
def test_an_axis_holds_everything_and_has_round_ticks(value, ends, dots, zero, texts):
    drawn = strip(value, ends, dots, zero)
    assert [text for _, text in drawn.ticks] == texts
    places = [drawn.value, *drawn.ends, *(one for one, _ in drawn.dots), *(one for one, _ in drawn.ticks)]
    assert all(0 <= one <= 100 for one in places)
    assert len(drawn.ends) == len(ends) and [name for _, name in drawn.dots] == list(dots)
    # Places follow the values.
    ticks = dict(zip(map(float, texts), (one for one, _ in drawn.ticks), strict=True))
    assert all(abs(ticks[one] - place) < 0.02 for place, one in [(drawn.value, value)] if one in ticks)
