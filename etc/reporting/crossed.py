"""Interval of the mean difference between two schemes when chains and clips are both samples, and crossed.

Every chain is judged on the same clips. With n chains and m clips, an error of the mean has three sources: chains,
clips, and what a chain does on a clip alone. The jackknife turns the pooled ratios into one value for each chain and
clip, so that the two-way analysis of variance applies (Miller, "The jackknife: a review", 1974):

- the variance between the chains' differences, over n, holds the chains and what they do on single clips;
- the variance between the clips' means over chains, over m, holds the clips, and what chains do on single clips once
  more; the mean square of the residuals estimates that share, which is taken off, down to 0.

The sum is the squared standard error. The interval is that of Student's t, its degrees of freedom by Satterthwaite
("An approximate distribution of estimates of variance components", 1946). One chain leaves the clips alone, one clip
the chains alone. ``tests/evaluation/test_coverage.py`` measures how often such intervals hold the truth.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from etc.evaluation.iou import mean_ratio


class Difference(NamedTuple):
    """A mean difference over chains, each part float64 (...,).

    Attributes:
        estimate: the mean over chains; each chain's scores are pooled over clips.
        low: lower end of the interval; NaN for one chain and one clip, or where leaving out a clip leaves no score.
        high: upper end.
        spread: standard deviation of the difference between chains (ddof 1); NaN for one chain.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray


def mean_difference(intersection: np.ndarray, union: np.ndarray, level: float) -> Difference:
    """Mean over chains of second minus first, scores being ``mean_ratio`` of counts pooled over clips.

    Args:
        intersection: counts (..., 2, n, m, C) of both schemes, n chains, m clips, at least one of each.
        union: likewise.
        level: coverage of the interval, 0 to 1.
    """
    chains, clips = union.shape[-3:-1]
    pooled, left_out = [], []
    for counts in (intersection, union):
        counts = counts.astype(np.float64)
        total = counts.sum(axis=-2)
        pooled.append(total)
        left_out.append(total[..., None, :] - counts)
    first, second = np.moveaxis(mean_ratio(*pooled), -2, 0)
    by_chain = second - first
    estimate = by_chain.mean(axis=-1)
    nothing = np.full(estimate.shape, np.nan)
    spread = by_chain.std(axis=-1, ddof=1) if chains > 1 else nothing
    if chains == clips == 1:
        return Difference(estimate, nothing, nothing, spread)
    of_chains = spread**2 / chains if chains > 1 else 0.0
    of_clips = 0.0
    if clips > 1:
        first, second = np.moveaxis(mean_ratio(*left_out), -3, 0)
        values = clips * by_chain[..., None] - (clips - 1) * (second - first)
        of_clips = _clip_variance(values)
    variance = of_chains + of_clips
    # Without any spread there is no freedom to divide, and t does not matter.
    parts = of_chains**2 / max(chains - 1, 1) + of_clips**2 / max(clips - 1, 1)
    freedom = np.divide(variance**2, parts, out=np.ones_like(variance), where=parts > 0)
    margin = stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance)
    return Difference(estimate, estimate - margin, estimate + margin, spread)


def _clip_variance(values: np.ndarray) -> np.ndarray:
    """Variance of the mean due to clips, of values (..., n, m), m > 1, without what chains do on single clips."""
    chains, clips = values.shape[-2:]
    of_clips = values.mean(axis=-2).var(axis=-1, ddof=1) / clips
    if chains == 1:
        return of_clips
    means = values.mean(axis=-1, keepdims=True) + values.mean(axis=-2, keepdims=True)
    residual = values - means + values.mean(axis=(-2, -1), keepdims=True)
    mean_square = (residual**2).sum(axis=(-2, -1)) / ((chains - 1) * (clips - 1))
    return np.maximum(of_clips - mean_square / (chains * clips), 0.0)
