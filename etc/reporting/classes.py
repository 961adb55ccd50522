"""IoU and TC of each class, and their differences to the baseline: where a mean over classes comes from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from etc.dataset.label_sets import LabelSet
from etc.evaluation.iou import class_ratio
from etc.reporting.differences import pairs
from etc.reporting.evaluations import ClipCounts, Evaluation
from etc.reporting.tables import decimals, signed

COLUMNS = ["architecture", "scheme", "class", "iou", "delta_iou", "tc", "delta_tc"]
NOTE = (
    "Means over chains in percent; the baseline's values, and differences to it in percentage points, over the chains "
    "that both have."
)


def table(evaluations: Sequence[Evaluation], baseline: str, labels: LabelSet) -> pd.DataFrame:
    """One row per architecture, scheme and class, columns ``COLUMNS``, in percent and points, not rounded.

    Values are means over seeds, differences over the seeds that the scheme shares with the baseline. NaN where a class
    is neither in the truth nor predicted (IoU) or in no prediction (TC) of a seed, and for differences of the baseline.
    """
    tables = []
    for architecture, scheme in dict.fromkeys((one.run.architecture, one.run.scheme) for one in evaluations):
        runs = [one for one in evaluations if (one.run.architecture, one.run.scheme) == (architecture, scheme)]
        both = pairs(evaluations, architecture, baseline, scheme) if scheme != baseline else []
        columns = {"architecture": architecture, "scheme": scheme, "class": labels.names}
        for name, counts in (("iou", "iou"), ("tc", "tc")):
            nothing = [np.full(labels.count, np.nan)]
            columns[name] = np.mean([_percent(getattr(one, counts)) for one in runs], axis=0)
            gains = [_percent(getattr(new, counts)) - _percent(getattr(old, counts)) for old, new in both]
            columns[f"delta_{name}"] = np.mean(gains or nothing, axis=0)
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def display(found: pd.DataFrame, measure: str, baseline: str) -> pd.DataFrame:
    """One row per class: the baseline's values, then the differences of each scheme, as short texts.

    Args:
        found: as :func:`table` gives it.
        measure: ``iou`` or ``tc``.
        baseline: the scheme whose values are shown.
    """
    texts = [
        decimals(value) if scheme == baseline else "" if np.isnan(gain) else signed(gain)
        for scheme, value, gain in zip(found["scheme"], found[measure], found[f"delta_{measure}"], strict=True)
    ]
    wide = found.assign(text=texts).pivot(index=["architecture", "class"], columns="scheme", values="text")
    # pivot sorts; the order of schemes and classes is that of the table.
    rows = pd.MultiIndex.from_frame(found[["architecture", "class"]].drop_duplicates())
    return wide.loc[rows, list(found["scheme"].unique())].fillna("").reset_index()


def _percent(counts: ClipCounts) -> np.ndarray:
    pooled = counts.pooled()
    return 100 * class_ratio(pooled.intersection, pooled.union)
