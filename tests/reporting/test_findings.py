"""The sentences say what the numbers say, and no more."""

import numpy as np
import pandas as pd
import pytest

from etc.reporting.findings import sentences


def schemes(tc=(1.0, 0.5, 1.5), miou=(1.0, 0.5, 1.5), long=False, chains=3):
    """Baseline and etc, with a difference and the ends of its interval for each measure."""
    rows = [{"scheme": "baseline", "iterations": 200.0}, {"scheme": "etc", "iterations": 200.0}]
    rows += [{"scheme": "baseline_long", "iterations": 900.0}] * long
    rows += [{"scheme": "labeller", "iterations": 1000.0}]
    for row in rows:
        row |= {"architecture": "pspnet18", "parameters": 218_000, "gmac": 0.122}
        row["delta_chains"] = np.nan if row["scheme"] == "baseline" else chains
        for name, (value, low, high) in (("tc", tc), ("miou", miou), ("agreement", (0.2, -0.1, 0.5))):
            new = row["scheme"] != "baseline"
            row[f"{name}_mean"] = 60.0 + new * value
            row |= {f"delta_{name}": value if new else np.nan}
            row |= {f"delta_{name}_low": low if new else np.nan, f"delta_{name}_high": high if new else np.nan}
    return pd.DataFrame(rows)


def test_a_gain_is_said_with_its_numbers():
    steady, right, cost = sentences(schemes(), "baseline", "etc")
    assert steady == (
        "etc has higher temporal consistency than baseline, 60.00 → 61.00 % (+1.00 points [+0.50, +1.50]), and not "
        "measurably higher pixel agreement, 60.00 → 60.20 % (+0.20 points [-0.10, +0.50])."
    )
    assert right == "It is more often right: mIoU 60.00 → 61.00 % (+1.00 points [+0.50, +1.50])."
    assert cost == (
        "All students are one network of 0.218 M parameters and 0.122 GMAC a frame, so nothing is added when it runs; "
        "the price is paid in training."
    )


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((1.0, 0.5, 1.5), "more often right"),
        ((-1.0, -1.5, -0.5), "less often right"),
        ((1.0, -0.1, 2.1), "not measurably more often right"),
        ((-1.0, -2.1, 0.1), "not measurably less often right"),
        ((1.0, np.nan, np.nan), "not measurably more often right"),
    ],
)
def test_an_interval_with_0_is_no_finding(difference, verdict):
    assert f"It is {verdict}: mIoU " in sentences(schemes(miou=difference), "baseline", "etc")[1]


def test_without_labels_nothing_is_said_of_quality():
    found = sentences(schemes(miou=(np.nan,) * 3), "baseline", "etc")
    assert found[1] == "The data has no labels, so nothing says which predictions are right."


def test_what_longer_training_gives_is_said_too():
    assert sentences(schemes(long=True), "baseline", "etc")[2].endswith(
        "; 4.5 times the iterations without a teacher (baseline_long) give +1.00 points of TC and +1.00 of mIoU."
    )


def test_a_scheme_that_learns_from_the_teacher_is_no_longer_training_without_one():
    table = schemes(long=True).replace("baseline_long", "etc_long")
    assert sentences(table, "baseline", "etc", ["etc", "etc_long"])[2].endswith("; the price is paid in training.")


def test_what_one_chain_says_is_marked():
    assert "(+1.00 points [+0.50, +1.50], one chain), and" in sentences(schemes(chains=1), "baseline", "etc")[0]


def test_of_several_architectures_the_first_is_named():
    both = pd.concat([schemes(), schemes().assign(architecture="mobilenetv2")], ignore_index=True)
    steady, _, cost = sentences(both, "baseline", "etc")
    assert steady.startswith("With pspnet18, etc has higher temporal consistency than baseline, ")
    assert cost.startswith("All students with pspnet18 are one network of 0.218 M parameters")
