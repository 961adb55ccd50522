"""Differences between two schemes, paired by seed and clip, with intervals."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from etc.core.errors import UserError
from etc.reporting.crossed import Difference, mean_difference
from etc.reporting.evaluations import ClipCounts, Evaluation

ENDS = ("", "_low", "_high", "_spread")
Pair = tuple[Evaluation, Evaluation]


def pairs(evaluations: Sequence[Evaluation], architecture: str, first: str, second: str) -> list[Pair]:
    """Runs of two schemes in each chain that has both, in the order of the second's seeds."""
    by_run = {one.run: one for one in evaluations}
    both = [(one.run._replace(scheme=first), one.run) for one in evaluations]
    wanted = [pair for pair in both if (pair[1].architecture, pair[1].scheme) == (architecture, second)]
    return [(by_run[one], by_run[other]) for one, other in wanted if one in by_run]


def deltas(paired: Sequence[Pair], confidence: float, frequent: np.ndarray | None = None) -> dict[str, float]:
    """Differences of TC, agreement and mIoU with their intervals, for pairs (baseline, scheme) of one seed each.

    Args:
        paired: at least one.
        confidence: of the intervals, 0..1.
        frequent: bool (C,), classes of ``delta_tc_frequent``; None leaves that out.

    Returns:
        ``delta_tc, delta_tc_low, delta_tc_high, delta_tc_spread, delta_agreement, …`` in percentage points, see
        :class:`etc.reporting.crossed.Difference`; all NaN without counts. ``delta_chains`` is the number of pairs.

    Raises:
        UserError: two runs were evaluated on different clips.
    """
    # Baselines first, then the schemes in the same order of seeds.
    runs = [*chain(*zip(*paired, strict=True))]
    for one in runs:
        if (one.iou.clips, one.tc.clips) != (runs[0].iou.clips, runs[0].tc.clips):
            raise UserError(
                f"run '{one.run.name}' was evaluated on {len(one.tc.clips)} clips, but not the same as its baseline's "
                f"{len(runs[0].tc.clips)}; run the evaluate stage again for both"
            )
    found = {
        "tc": _difference([one.tc for one in runs], confidence),
        "agreement": _difference([one.tc.alike() for one in runs], confidence),
        "miou": _difference([one.iou for one in runs], confidence),
    }
    if frequent is not None:
        found["tc_frequent"] = _difference([one.tc.of(frequent) for one in runs], confidence)
    return {"delta_chains": len(paired)} | {
        f"delta_{metric}{end}": 100 * float(value)
        for metric, one in found.items()
        for end, value in zip(ENDS, one, strict=True)
    }


def _difference(runs: list[ClipCounts], confidence: float) -> Difference:
    """Mean difference between the second half of the runs and the first."""
    if not runs[0].clips:
        return Difference(*[np.array(np.nan)] * 4)
    shape = (2, len(runs) // 2, len(runs[0].clips), -1)
    intersection, union = (
        np.stack([getattr(one.counts, part) for one in runs]).reshape(shape) for part in ("intersection", "union")
    )
    return mean_difference(intersection, union, confidence)
