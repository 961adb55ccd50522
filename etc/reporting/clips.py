"""Differences to the baseline clip by clip: whether a gain is there everywhere."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from etc.evaluation.iou import mean_ratio
from etc.reporting.differences import pairs
from etc.reporting.evaluations import ClipCounts, Evaluation

COLUMNS = ["architecture", "scheme", "clip", "seed", "delta_tc", "delta_miou"]
# In place of a seed: the mean over all.
MEAN = "mean"


def table(evaluations: Sequence[Evaluation], baseline: str) -> pd.DataFrame:
    """One row per architecture, scheme, clip and seed that the baseline has too, and one for their mean.

    Returns:
        Columns ``COLUMNS``, in percentage points, not rounded; ``seed`` is a text, that of the means ``MEAN``. A clip
        without labels has no mIoU (NaN). The means of clips are not the pooled differences of the other tables.
    """
    tables = []
    for architecture, scheme in dict.fromkeys((one.run.architecture, one.run.scheme) for one in evaluations):
        both = pairs(evaluations, architecture, baseline, scheme) if scheme != baseline else []
        if not both:
            continue
        chains = {str(new.run.seed): _scores(new) - _scores(old) for old, new in both}
        chains[MEAN] = sum(chains.values()) / len(chains)
        rows = pd.concat(chains, names=["seed", "clip"]).reset_index()
        tables.append(rows.sort_values("clip", kind="stable").assign(architecture=architecture, scheme=scheme))
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def _scores(one: Evaluation) -> pd.DataFrame:
    """TC and mIoU of each clip in percent."""
    return pd.DataFrame({"delta_tc": _by_clip(one.tc), "delta_miou": _by_clip(one.iou)})


def _by_clip(counts: ClipCounts) -> pd.Series:
    values = 100 * mean_ratio(counts.counts.intersection, counts.counts.union)
    return pd.Series(np.atleast_1d(values), index=pd.Index(counts.clips, dtype=object))
