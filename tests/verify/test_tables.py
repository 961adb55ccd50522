"""Values of two versions of a table, and differences beside their committed intervals."""

import pytest

from etc.verify.tables import compare, differences
from etc.verify.text import findings

SCHEMES = """architecture,scheme,seeds,tc_mean,\
delta_tc,delta_tc_low,delta_tc_high,delta_miou,delta_miou_low,delta_miou_high
pspnet18,baseline,3,81.75,,,,,,
pspnet18,tl,3,83.04,1.29,1.04,1.55,-0.15,-0.48,0.18
"""


def test_equal_tables():
    found = compare("schemes.csv", SCHEMES, SCHEMES)
    assert (found.values, found.differing, found.largest, found.place) == (16, 0, 0.0, "")


def test_values_that_differ_are_counted_and_the_largest_difference_is_named():
    found = compare("schemes.csv", SCHEMES, SCHEMES.replace("83.04", "83.10").replace("-0.48", "-2.48"))
    assert (found.differing, found.place) == (2, "delta_miou_low of pspnet18 tl")
    assert found.largest == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("here", "differing"),
    [
        # A row and a column that only one side has; texts; values that are gone.
        (SCHEMES + "pspnet18,etc,1,80.00,,,,,,\n", 8),
        ("\n".join(line + ",7" for line in SCHEMES.splitlines()).replace("high,7", "high,iterations"), 2),
        (SCHEMES.replace("pspnet18,tl", "pspnet18,etc"), 16),
        (SCHEMES.replace("83.04", ""), 1),
        ("", 16),
        ("not a table", 16),
    ],
)
def test_what_one_side_lacks_differs(here, differing):
    assert compare("schemes.csv", SCHEMES, here).differing == differing
    assert compare("schemes.csv", here, SCHEMES).differing == differing


def test_checksums_are_values_without_a_distance():
    data = "split,clips,checksum\ntest,16,{}\n"
    found = compare("data.csv", data.format("3c08"), data.format("1e99"))
    assert (found.values, found.differing, found.largest) == (2, 1, 0.0)


@pytest.mark.parametrize(
    ("here", "holds"),
    [("1.29", True), ("1.04", True), ("1.55", True), ("1.03", False), ("1.56", False), ("", False), ("nan", False)],
)
def test_a_difference_holds_inside_its_committed_interval(here, holds):
    tc, miou = differences(SCHEMES, SCHEMES.replace(",1.29,", f",{here},"))
    assert (tc.row, tc.quantity, tc.committed, tc.low, tc.high) == ("pspnet18 tl", "delta_tc", 1.29, 1.04, 1.55)
    assert tc.holds == holds and miou.holds


@pytest.mark.parametrize(("here", "holds"), [("0.90", True), ("0.74", True), ("1.85", True), ("0.73", False)])
def test_the_spread_between_chains_widens_the_interval(here, holds):
    first, *rest = SCHEMES.splitlines()
    spread = "\n".join([f"{first},delta_tc_spread", *(f"{line},0.30" for line in rest)])
    tc, miou = differences(spread, SCHEMES.replace(",1.29,", f",{here},"))
    assert tc.spread == 0.3 and miou.spread is None
    assert tc.holds == holds


def test_one_chain_is_given_the_largest_spread_of_the_table():
    first, *rest = SCHEMES.splitlines()
    spreads = ["", "", "0.30", "0.10"]
    rows = [*rest, rest[1].replace(",tl,", ",etc,"), rest[1].replace(",tl,", ",sf,")]
    text = "\n".join([f"{first},delta_tc_spread", *(f"{row},{one}" for row, one in zip(rows, spreads, strict=True))])
    found = {one.row: one.spread for one in differences(text, text) if one.quantity == "delta_tc"}
    assert found == {"pspnet18 tl": 0.3, "pspnet18 etc": 0.3, "pspnet18 sf": 0.1}


def test_without_an_interval_nothing_can_be_said_of_another_value():
    bare = SCHEMES.replace(",1.04,1.55", ",,")
    assert differences(bare, SCHEMES)[0].holds
    other = differences(bare, SCHEMES.replace(",1.29,", ",1.30,"))
    assert [one.holds for one in other] == [None, True]
    assert "Nothing says whether the findings hold: no interval for delta_tc of pspnet18 tl. 1 of 2" in findings(other)


@pytest.mark.parametrize("odd", ["nan", "inf", ""])
def test_what_is_no_number_is_no_difference_of_the_committed_table(odd):
    odd = SCHEMES.replace(",1.29,", f",{odd},").replace("83.04", odd)
    assert [one.quantity for one in differences(odd, SCHEMES)] == ["delta_miou"]
    found = compare("schemes.csv", odd, SCHEMES)
    assert (found.differing, found.largest) == (2, 0.0)


def test_a_scheme_that_is_gone_does_not_hold():
    gone = "\n".join(SCHEMES.splitlines()[:2])
    assert [one.holds for one in differences(SCHEMES, gone)] == [False, False]
