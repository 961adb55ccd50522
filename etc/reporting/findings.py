"""What was found, in three sentences made from the numbers."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from etc.reporting.tables import signed


def sentences(schemes: pd.DataFrame, baseline: str, scheme: str, distilled: Collection[str] = ()) -> list[str]:
    """Is the scheme steadier than the baseline, is it more often right, and what does it cost?

    Args:
        schemes: as :func:`etc.reporting.tables.scheme_table` gives it; its first architecture is spoken of.
        baseline: what ``scheme`` is compared with.
        scheme: the one that is shown beside it.
        distilled: the schemes that learn from the teacher.
    """
    architecture = schemes["architecture"].iloc[0]
    rows = schemes[schemes["architecture"] == architecture].set_index("scheme")
    one, other = rows.loc[scheme], rows.loc[baseline]
    several = schemes["architecture"].nunique() > 1
    subject = f"With {architecture}, {scheme}" if several else scheme
    found = [
        f"{subject} has {_verdict(one, 'delta_tc', 'higher', 'lower')} temporal consistency than {baseline}, "
        f"{_percent(other, one, 'tc_mean')}{_difference(one, 'delta_tc')}, and "
        f"{_verdict(one, 'delta_agreement', 'higher', 'lower')} pixel agreement, "
        f"{_percent(other, one, 'agreement_mean')}{_difference(one, 'delta_agreement')}."
    ]
    if not np.isnan(one["miou_mean"]):
        verdict = _verdict(one, "delta_miou", "more often right", "less often right")
        found.append(f"It is {verdict}: mIoU {_percent(other, one, 'miou_mean')}{_difference(one, 'delta_miou')}.")
    else:
        found.append("The data has no labels, so nothing says which predictions are right.")
    students = f"All students with {architecture}" if several else "All students"
    return [*found, _cost(students, rows, other, {"labeller", "teacher", baseline, *distilled})]


def _verdict(row: pd.Series, delta: str, more: str, fewer: str) -> str:
    """Which words the interval allows."""
    if row[f"{delta}_low"] > 0:
        return more
    if row[f"{delta}_high"] < 0:
        return fewer
    return f"not measurably {more if row[delta] > 0 else fewer}"


def _percent(before: pd.Series, after: pd.Series, name: str) -> str:
    return f"{before[name]:.2f} → {after[name]:.2f} %"


def _difference(row: pd.Series, delta: str) -> str:
    """The difference with its interval, in brackets; what an interval of one chain says is in the note of the table."""
    low, high = row[f"{delta}_low"], row[f"{delta}_high"]
    interval = "" if np.isnan(low) else f" [{signed(low)}, {signed(high)}]"
    chain = ", one chain" if row["delta_chains"] == 1 else ""
    return f" ({signed(row[delta])} points{interval}{chain})"


def _cost(students: str, rows: pd.DataFrame, baseline: pd.Series, others: Collection[str]) -> str:
    """What the networks cost, and what longer training gives: in a scheme that is none of ``others``."""
    same = (
        f"{students} are one network of {baseline['parameters'] / 1e6:.3g} M parameters and {baseline['gmac']:.3g} "
        "GMAC a frame, so nothing is added when it runs"
    )
    longer = rows[(rows["iterations"] > 1.5 * baseline["iterations"]) & ~rows.index.isin(others)]
    longer = longer[longer["delta_tc"].notna()]
    if longer.empty:
        return f"{same}; the price is paid in training."
    row = longer.iloc[0]
    times = row["iterations"] / baseline["iterations"]
    gains = [f"{signed(row['delta_tc'])} points of TC"]
    gains += [] if np.isnan(row["delta_miou"]) else [f"{signed(row['delta_miou'])} of mIoU"]
    return f"{same}; {times:.2g} times the iterations without a teacher ({row.name}) give {' and '.join(gains)}."
