"""How far a pooled score would move with other clips of the same kind, and whether two runs differ.

Frames of a clip resemble each other, so whole clips are resampled. Each resample pools the counts of its clips before
it divides, as the score itself does.

- *Bootstrap*: clips are drawn with replacement; the interval is between percentiles (Efron 1979).
- *Permutation*: if two runs were alike, it would not matter which of them a clip's counts came from. So their counts
  are exchanged in a random subset of the clips, the pooled scores are formed again, and the p-value is the share of
  exchanges with a difference at least as large (two-sided) as the one observed. Up to 12 clips all 2^n exchanges are
  taken, beyond that a random sample, in which the observed one counts too: (b + 1) / (n + 1), so that p is never 0
  (Phipson and Smyth, 2010). With n clips p cannot fall below 2 / 2^n: fewer than 6 clips can never give 0.05.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.iou import mean_ratio

# Counts of each clip, (clips, C), that a mean takes, e.g. intersections and unions for ``mean_ratio``; C = 1 gives a
# plain ratio of sums.
Counts = tuple[np.ndarray, ...]
Mean = Callable[..., np.ndarray]

EXACT_CLIPS = 12
# Rows of resamples at a time, which bounds the memory of (rows, classes) blocks.
_BLOCK = 4096
# Sums of counts are exact, the ratios are rounded: an exchange that only mirrors the observed one must count as equal.
_TOLERANCE = 1e-12


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
    *counts: np.ndarray,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    mean: Mean = mean_ratio,
) -> Interval:
    """Bootstrap interval of a pooled score.

    Args:
        counts: of each clip, see ``Counts``.
        resamples: number of bootstrap samples.
        level: coverage, 0 to 1.
        seed: of the draw of clips.
        mean: pooled counts (..., C) to score (...,).

    Raises:
        UserError: shapes that do not fit, no clips, or a level out of range.
    """
    counts = _checked(counts, level)
    scores = _scores(_weights(len(counts[0]), resamples, seed), counts, mean)
    return Interval(_pooled_score(counts, mean), *_ends(scores, level))


def paired_difference(
    first: Counts,
    second: Counts,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    mean: Mean = mean_ratio,
) -> Interval:
    """Bootstrap interval of ``second`` minus ``first``, both scored on the same drawn clips.

    Args:
        first: counts of one run.
        second: counts of the other run, clips in the same order.
        resamples, level, seed, mean: as in ``interval``.

    Raises:
        UserError: as in ``interval``, or the runs have different clips.
    """
    first, second = _checked(first, level), _checked(second, level)
    if first[0].shape != second[0].shape:
        raise UserError(f"the two runs differ in clips or classes: {first[0].shape} and {second[0].shape}")
    weights = _weights(len(first[0]), resamples, seed)
    scores = _scores(weights, second, mean) - _scores(weights, first, mean)
    return Interval(_pooled_score(second, mean) - _pooled_score(first, mean), *_ends(scores, level))


def paired_p_value(
    first: Counts, second: Counts, exchanges: int = 10_000, seed: int = 0, mean: Mean = mean_ratio
) -> float:
    """Two-sided p-value of the difference of two pooled scores, by permutation.

    Args:
        first: counts of one run.
        second: counts of the other run, clips in the same order.
        exchanges: random exchanges beyond ``EXACT_CLIPS`` clips.
        seed: of the random exchanges.
        mean: pooled counts (..., C) to score (...,).

    Returns:
        p, above 0 and at most 1; NaN with fewer than two clips.
    """
    runs = tuple(tuple(one.astype(np.float64) for one in counts) for counts in (first, second))
    clips = len(runs[0][0])
    if clips < 2:
        return float("nan")
    observed = _exchanged_differences(np.zeros((1, clips), np.int64), *runs, mean)[0]
    if clips <= EXACT_CLIPS:
        swaps = (np.arange(1 << clips)[:, None] >> np.arange(clips)) & 1
    else:
        swaps = np.random.default_rng(seed).integers(0, 2, (exchanges, clips))
    found = np.concatenate([_exchanged_differences(block, *runs, mean) for block in _blocks(swaps)])
    extreme = int(np.count_nonzero(np.abs(found) >= np.abs(observed) - _TOLERANCE))
    return extreme / len(swaps) if clips <= EXACT_CLIPS else (extreme + 1) / (len(swaps) + 1)


def _checked(counts: Counts, level: float) -> Counts:
    # Sums of counts below 2^53 are exact in float64, in any order, so the result does not depend on the BLAS.
    counts = tuple(np.asarray(one, np.float64) for one in counts)
    shapes = [one.shape for one in counts]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or shapes[0][0] == 0:
        raise UserError(
            f"the bootstrap needs counts (clips, classes) of at least one clip, got {' and '.join(map(str, shapes))}"
        )
    if not 0 < level < 1:
        raise UserError(f"the level of an interval lies between 0 and 1, not {level}")
    return counts


def _weights(clips: int, resamples: int, seed: int) -> np.ndarray:
    """How often each clip is drawn, float64 (resamples, clips)."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(clips, np.full(clips, 1 / clips), size=resamples).astype(np.float64)


def _pooled_score(counts: Counts, mean: Mean) -> float:
    return float(mean(*(one.sum(axis=0) for one in counts)))


def _scores(weights: np.ndarray, counts: Counts, mean: Mean) -> np.ndarray:
    """Score of each row of ``weights``, float64 (rows, clips): how often each clip counts."""
    return np.concatenate([mean(*(block @ one for one in counts)) for block in _blocks(weights)])


def _exchanged_differences(swaps: np.ndarray, first: Counts, second: Counts, mean: Mean) -> np.ndarray:
    """Score of the second run minus the first, for each row of ``swaps`` (rows, clips), 1 = exchanged."""
    both = tuple(np.concatenate(one) for one in zip(first, second, strict=True))
    kept = 1 - swaps
    weights = np.hstack([kept, swaps]), np.hstack([swaps, kept])
    return _scores(weights[1].astype(np.float64), both, mean) - _scores(weights[0].astype(np.float64), both, mean)


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def _ends(scores: np.ndarray, level: float) -> tuple[float, float]:
    # A resample in which nothing occurs has no score.
    scores = scores[~np.isnan(scores)]
    if scores.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
