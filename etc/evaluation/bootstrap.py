"""Bootstrap over clips: how far a pooled score would move with other clips of the same kind.

Frames of a clip resemble each other, so whole clips are drawn with replacement (percentile interval, Efron 1979). Each
resample pools the counts of its clips before it divides, as the score itself does.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.iou import mean_ratio

Mean = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Bounds the memory of (resamples, classes) blocks.
_BLOCK = 4096


class Interval(NamedTuple):
    """A score and its interval.

    Attributes:
        estimate: the score over all clips.
        low: lower end.
        high: upper end.
    """

    estimate: float
    low: float
    high: float


def interval(
    numerator: np.ndarray,
    denominator: np.ndarray,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    mean: Mean = mean_ratio,
) -> Interval:
    """Interval of a pooled score.

    Args:
        numerator: counts of each clip (clips, C), e.g. intersections; C = 1 gives a plain ratio of sums.
        denominator: (clips, C), e.g. unions.
        resamples: number of bootstrap samples.
        level: coverage, 0 to 1.
        seed: of the draw of clips.
        mean: pooled (..., C), (..., C) to score (...,).

    Raises:
        UserError: shapes that do not fit, no clips, or a level out of range.
    """
    numerator, denominator = _checked(numerator, denominator, level)
    scores = _scores(_weights(len(numerator), resamples, seed), numerator, denominator, mean)
    estimate = float(mean(numerator.sum(axis=0), denominator.sum(axis=0)))
    return Interval(estimate, *_ends(scores, level))


def paired_difference(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    mean: Mean = mean_ratio,
) -> Interval:
    """Interval of ``second`` minus ``first``, both scored on the same drawn clips.

    Args:
        first: numerator and denominator, each (clips, C), of one run.
        second: the same of the other run, clips in the same order.
        resamples, level, seed, mean: as in ``interval``.

    Raises:
        UserError: as in ``interval``, or the runs have different clips.
    """
    first, second = _checked(*first, level), _checked(*second, level)
    if first[0].shape != second[0].shape:
        raise UserError(f"the two runs differ in clips or classes: {first[0].shape} and {second[0].shape}")
    weights = _weights(len(first[0]), resamples, seed)
    scores = _scores(weights, *second, mean) - _scores(weights, *first, mean)
    pooled = [mean(run[0].sum(axis=0), run[1].sum(axis=0)) for run in (first, second)]
    return Interval(float(pooled[1] - pooled[0]), *_ends(scores, level))


def _checked(numerator: np.ndarray, denominator: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    # Sums of counts below 2^53 are exact in float64, in any order, so the result does not depend on the BLAS.
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if numerator.ndim != 2 or numerator.shape != denominator.shape or len(numerator) == 0:
        raise UserError(
            f"the bootstrap needs counts (clips, classes) of at least one clip, got {numerator.shape} "
            f"and {denominator.shape}"
        )
    if not 0 < level < 1:
        raise UserError(f"the level of an interval lies between 0 and 1, not {level}")
    return numerator, denominator


def _weights(clips: int, resamples: int, seed: int) -> np.ndarray:
    """How often each clip is drawn, float64 (resamples, clips)."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(clips, np.full(clips, 1 / clips), size=resamples).astype(np.float64)


def _scores(weights: np.ndarray, numerator: np.ndarray, denominator: np.ndarray, mean: Mean) -> np.ndarray:
    blocks = [weights[start : start + _BLOCK] for start in range(0, len(weights), _BLOCK)]
    return np.concatenate([mean(block @ numerator, block @ denominator) for block in blocks])


def _ends(scores: np.ndarray, level: float) -> tuple[float, float]:
    # A resample in which nothing occurs has no score.
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
