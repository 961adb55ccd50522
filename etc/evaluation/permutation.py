"""Whether two runs differ: a paired sign-flip permutation test over clips.

If the runs were alike, it would not matter which of them a clip's counts came from. So the counts of the two runs are
exchanged in a random subset of the clips, the pooled scores are formed anew, and the p-value is the share of exchanges
with a difference at least as large (two-sided) as the one observed. Exchanging whole clips keeps the likeness of the
frames of a clip out of the question. Up to 12 clips all 2^n exchanges are taken, beyond that a random sample, in which
the observed one counts too: (b + 1) / (n + 1), so that p is never 0 (Phipson and Smyth, 2010).

With n clips p cannot fall below 2 / 2^n: fewer than 6 clips can never give 0.05.
"""

from collections.abc import Callable

import numpy as np

from etc.evaluation.iou import mean_ratio

EXACT_CLIPS = 12
_BLOCK = 1024
# Sums of counts are exact, the ratios are rounded: an exchange that only mirrors the observed one shall count as equal.
_TOLERANCE = 1e-12


def paired_p_value(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    exchanges: int = 10_000,
    seed: int = 0,
    mean: Callable[[np.ndarray, np.ndarray], np.ndarray] = mean_ratio,
) -> float:
    """Two-sided p-value of the difference of two pooled scores.

    Args:
        first: numerator and denominator of one run, each (clips, C).
        second: the same of the other run, clips in the same order.
        exchanges: random exchanges beyond ``EXACT_CLIPS`` clips.
        seed: of the random exchanges.
        mean: pooled (..., C), (..., C) to score (...,).

    Returns:
        p, above 0 and at most 1; NaN with fewer than two clips.
    """
    stacked = [np.stack([one, other]).astype(np.float64) for one, other in zip(first, second, strict=True)]
    clips = stacked[0].shape[1]
    if clips < 2:
        return float("nan")
    observed = _differences(np.zeros((1, clips)), stacked, mean)[0]
    if clips <= EXACT_CLIPS:
        swaps = (np.arange(1 << clips)[:, None] >> np.arange(clips)) & 1
    else:
        swaps = np.random.default_rng(seed).integers(0, 2, (exchanges, clips))
    blocks = [swaps[start : start + _BLOCK] for start in range(0, len(swaps), _BLOCK)]
    found = np.concatenate([_differences(block, stacked, mean) for block in blocks])
    extreme = int(np.count_nonzero(np.abs(found) >= np.abs(observed) - _TOLERANCE))
    return extreme / len(swaps) if clips <= EXACT_CLIPS else (extreme + 1) / (len(swaps) + 1)


def _differences(swaps: np.ndarray, stacked: list[np.ndarray], mean: Callable) -> np.ndarray:
    """Score of the second run minus the first, for each row of ``swaps`` (rows, clips), 1 = exchanged."""
    swaps = swaps.astype(np.float64)
    pooled = [((1 - swaps) @ one + swaps @ other, swaps @ one + (1 - swaps) @ other) for one, other in stacked]
    (numerator, denominator) = pooled
    return mean(numerator[1], denominator[1]) - mean(numerator[0], denominator[0])
