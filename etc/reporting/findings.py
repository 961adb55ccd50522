"""What was found, in three sentences made from the numbers."""

import numpy as np
import pandas as pd

from etc.reporting.tables import signed


def sentences(schemes: pd.DataFrame, baseline: str, scheme: str) -> list[str]:
    """Is the scheme steadier than the baseline, is it more often right, and what does it cost?

    Args:
        schemes: as :func:`etc.reporting.tables.scheme_table` gives it; its first architecture is spoken of.
        baseline: what ``scheme`` is compared with.
        scheme: the one that is shown beside it.
    """
    rows = schemes[schemes["architecture"] == schemes["architecture"].iloc[0]].set_index("scheme")
    one, other = rows.loc[scheme], rows.loc[baseline]
    verdict = _verdict(one, "delta_tc", "steadier than", "less steady than", "as steady as")
    found = [
        f"{scheme} is {verdict} {baseline}: temporal consistency {_percent(other, one, 'tc_mean')}"
        f"{_difference(one, 'delta_tc')}, pixel agreement {_percent(other, one, 'agreement_mean')}."
    ]
    if not np.isnan(one["miou_mean"]):
        verdict = _verdict(one, "delta_miou", "more often right", "less often right", "as often right")
        found.append(f"It is {verdict}: mIoU {_percent(other, one, 'miou_mean')}{_difference(one, 'delta_miou')}.")
    else:
        found.append("The data has no labels, so nothing says which predictions are right.")
    return [*found, _cost(rows, other, baseline)]


def _verdict(row: pd.Series, delta: str, more: str, fewer: str, neither: str) -> str:
    """Which words the interval allows."""
    low, high = row[f"{delta}_low"], row[f"{delta}_high"]
    if low > 0:
        return more
    if high < 0:
        return fewer
    return f"not measurably {more if row[delta] > 0 else fewer}" if row[delta] else neither


def _percent(before: pd.Series, after: pd.Series, name: str) -> str:
    return f"{before[name]:.2f} → {after[name]:.2f} %"


def _difference(row: pd.Series, delta: str) -> str:
    """The difference with its interval, in brackets; the limits of what it says are in the note of the table."""
    low, high = row[f"{delta}_low"], row[f"{delta}_high"]
    if np.isnan(row[delta]):
        return ""
    interval = "" if np.isnan(low) else f" [{signed(low)}, {signed(high)}]"
    return f" ({signed(row[delta])} points{interval})"


def _cost(rows: pd.DataFrame, baseline: pd.Series, name: str) -> str:
    same = (
        f"All students are one network of {baseline['parameters'] / 1e6:.3g} M parameters and {baseline['gmac']:.3g} "
        "GMAC a frame, so nothing is added when it runs"
    )
    longer = rows[(rows["iterations"] > 1.5 * baseline["iterations"]) & ~rows.index.isin(["labeller", "teacher", name])]
    if longer.empty:
        return f"{same}; the price is paid in training."
    row = longer.iloc[0]
    times = row["iterations"] / baseline["iterations"]
    gains = [f"{signed(row['delta_tc'])} points of TC"]
    gains += [] if np.isnan(row["delta_miou"]) else [f"{signed(row['delta_miou'])} of mIoU"]
    return f"{same}; {times:.2g} times the iterations without a teacher ({row.name}) give {' and '.join(gains)}."
