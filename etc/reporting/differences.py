"""Differences between two schemes, paired by seed and clip, with intervals."""

from itertools import chain

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.iou import mean_ratio
from etc.params.report import Bootstrap
from etc.reporting.evaluations import ClipCounts, Evaluation
from etc.resampling import Interval, interval


def deltas(pairs: list[tuple[Evaluation, Evaluation]], bootstrap: Bootstrap) -> dict[str, float]:
    """Differences of TC and mIoU with their intervals, for pairs (baseline, scheme) of one seed each.

    Returns:
        ``delta_tc, delta_tc_low, delta_tc_high, delta_miou, …`` in percentage points. All NaN without counts; no
        interval for one clip and one seed: there is nothing to resample. ``delta_tc_clips, delta_miou_clips`` are the
        numbers of clips.

    Raises:
        UserError: two runs were evaluated on different clips.
    """
    # Baselines first, then the schemes in the same order of seeds.
    runs = [*chain(*zip(*pairs, strict=True))]
    for one in runs:
        if (one.iou.clips, one.tc.clips) != (runs[0].iou.clips, runs[0].tc.clips):
            raise UserError(
                f"run '{one.run.name}' was evaluated on {len(one.tc.clips)} clips, but not the same as its baseline's "
                f"{len(runs[0].tc.clips)}; run the evaluate stage again for both"
            )
    found = {
        "tc": _interval([one.tc for one in runs], bootstrap),
        "miou": _interval([one.iou for one in runs], bootstrap),
    }
    clips = {"delta_tc_clips": len(runs[0].tc.clips), "delta_miou_clips": len(runs[0].iou.clips)}
    return clips | {
        f"delta_{metric}{end}": 100 * value
        for metric, one in found.items()
        for end, value in zip(("", "_low", "_high"), one, strict=True)
    }


class _MeanDifference:
    """Mean over seeds of scheme minus baseline, for :func:`etc.resampling.interval`.

    The bootstrap draws clips; each call on a block of resamples draws the seeds too, so that the interval covers both.
    """

    def __init__(self, seeds: int, seed: int) -> None:
        self.seeds = seeds
        self.draw = np.random.default_rng([seed, 1])

    def __call__(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        shape = (*numerator.shape[:-1], 2, self.seeds, -1)
        scores = mean_ratio(numerator.reshape(shape), denominator.reshape(shape))
        differences = scores[..., 1, :] - scores[..., 0, :]
        if differences.ndim == 1:
            return differences.mean()
        drawn = self.draw.multinomial(self.seeds, np.full(self.seeds, 1 / self.seeds), size=len(differences))
        return (differences * drawn).sum(axis=-1) / self.seeds


def _interval(runs: list[ClipCounts], bootstrap: Bootstrap) -> Interval:
    """Interval of the mean difference between the second half of the runs and the first."""
    clips, seeds = len(runs[0].clips), len(runs) // 2
    if not clips:
        return Interval(*[float("nan")] * 3)
    # (clips, baseline and scheme, seeds, classes), flattened behind the clips as the bootstrap expects.
    stacks = ([one.counts.intersection for one in runs], [one.counts.union for one in runs])
    flat = [np.stack(stack, axis=1).reshape(clips, -1) for stack in stacks]
    mean = _MeanDifference(seeds, bootstrap.seed)
    found = interval(*flat, resamples=bootstrap.samples, level=bootstrap.confidence, seed=bootstrap.seed, mean=mean)
    return Interval(found.estimate, float("nan"), float("nan")) if clips == seeds == 1 else found
