"""From counts of pairs to figures: pooled, per class and per clip, with intervals, and the comparison of two runs.

All figures are shares from 0 to 1 (the warp error 0 to 2), None where there is nothing to divide by. Intervals are 95 %
percentile bootstraps over clips; with one clip there is none, since one clip says nothing about other clips.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.consistency import PairResult
from etc.evaluation.iou import IouCounts, iou_counts, mean_ratio, stacked, total, tp_fp_fn
from etc.evaluation.protocols import protocol_named
from etc.evaluation.tc import (
    FREQUENT_SHARE,
    class_consistency,
    frequent_classes,
    pixel_agreement,
    pool,
    scored,
    temporal_consistency,
)
from etc.measure.truth import VC_LENGTHS, TruthCounts
from etc.measure.vc import mean_video_consistency, released_video_consistency, video_consistency
from etc.resampling import EXACT_CLIPS, Counts, Mean, interval, paired_difference, paired_p_value

RESAMPLES = 2000
LEVEL = 0.95
# With fewer clips the bootstrap's intervals are too narrow (docs/metrics.md), and no permutation test gives p < 0.05.
ENOUGH_CLIPS = 6
Clips = Mapping[str, Sequence[PairResult]]


def summarise(results: Iterable[PairResult], protocol: str, seed: int = 0) -> dict[str, Any]:
    """Pool the results of all pairs.

    Args:
        results: of all clips.
        protocol: the protocol that is reported.
        seed: of the bootstrap.

    Returns:
        ``protocol, tc, tc_low, tc_high, interval, per_class, agreement, agreement_low, agreement_high, flip_rate, …,
        warp_error, …, pairs, clips, skipped``, as docs/tc.md describes them; ready for JSON.

    Raises:
        UserError: no pair was counted.
    """
    results = list(results)
    clips = by_clip(results)
    skipped = [
        {"clip": one.clip, "source": one.source, "target": one.target, "reason": one.skipped}
        for one in results
        if one.skipped
    ]
    if not clips:
        reason = f"; the first was skipped because of {skipped[0]['reason']}" if skipped else ""
        raise UserError(f"no pair of frames could be compared{reason}")
    counts = clip_counts(clips, protocol)
    pooled = total(counts)
    if not pooled.counted:
        raise UserError("no pixel could be compared: all are ignored or leave the frame")
    many = len(clips) > 1
    return {
        "protocol": protocol,
        **_score("tc", scored(counts), many, seed, protocol_named(protocol).mean),
        "interval": _interval_text(len(clips)),
        "per_class": {str(one): _number(value) for one, value in enumerate(class_consistency(pooled, protocol))},
        **_score("agreement", (counts.same[:, None], counts.counted[:, None]), many, seed),
        **_score("flip_rate", _sums(clips, "flips"), many, seed),
        **_score("warp_error", _sums(clips, "warp_error"), many, seed),
        "pairs": sum(map(len, clips.values())),
        "clips": {name: _clip_figures(ones, protocol) for name, ones in clips.items()},
        "skipped": skipped,
    }


def compare(
    results: Iterable[PairResult], others: Iterable[PairResult], protocol: str, seed: int = 0
) -> dict[str, Any]:
    """Compare two runs on the pairs that were counted in both.

    Args:
        results: of the one run.
        others: of the run that it is compared with.
        protocol: the protocol.
        seed: of bootstrap and permutation.

    Returns:
        ``tc`` (of the other run on these pairs), ``difference`` (one minus other), ``difference_low``,
        ``difference_high``, ``p_value``, ``method``, ``pairs``, ``left_out`` (pairs counted in one run only),
        ``clips`` (their number) and ``frequent``: ``tc`` and ``difference`` with its ends over the classes that both
        runs predict often enough (at least ``share``), and ``rare``, the ids of those that only one or none does; None
        under the released protocols.

    Raises:
        UserError: the runs have no pair in common.
    """
    runs = [{(one.clip, one.source, one.target): one for one in run if not one.skipped} for run in (results, others)]
    common = [key for key in runs[0] if key in runs[1]]
    if not common:
        raise UserError("the two folders of predictions have no pair of frames in common")
    counts = [clip_counts(by_clip(run[key] for key in common), protocol) for run in runs]
    if not all(total(one).counted for one in counts):
        raise UserError("no pixel of one of the two folders could be compared: all are ignored or leave the frame")
    first, second = map(scored, counts)
    number = len(first[0])
    mean = protocol_named(protocol).mean
    p_value = _number(paired_p_value(second, first, seed=seed, mean=mean)) if number > 1 else None
    exchanges = f"all {2**number}" if number <= EXACT_CLIPS else "10,000 random"
    return {
        **_difference(first, second, seed, mean),
        "p_value": p_value,
        "method": (
            f"{LEVEL:.0%} paired bootstrap over {number} clips; permutation test over clips, {exchanges} exchanges"
            if number > 1
            else "none: one clip"
        ),
        "pairs": len(common),
        "left_out": len(runs[0].keys() ^ runs[1].keys()),
        "clips": number,
        "frequent": _compare_frequent(counts, protocol, seed),
    }


def _compare_frequent(counts: Sequence[IouCounts], protocol: str, seed: int) -> dict[str, Any] | None:
    """The difference over the classes that both runs predict often enough; None under the released protocols."""
    if protocol_named(protocol).mean is not mean_ratio:
        return None
    frequent, rare = frequent_classes([total(one) for one in counts])
    chosen = ((one.intersection[:, frequent], one.union[:, frequent]) for one in counts)
    return {
        "share": FREQUENT_SHARE,
        "rare": np.flatnonzero(rare).tolist(),
        **_difference(*chosen, seed, mean_ratio),
    }


def _difference(first: Counts, second: Counts, seed: int, mean: Mean) -> dict[str, float | None]:
    """TC of the second run, and what the first has beyond it, with an interval where there are several clips."""
    tc = [mean(*(part.sum(axis=0) for part in one)) for one in (first, second)]
    low = high = None
    if len(first[0]) > 1:
        _, low, high = paired_difference(second, first, RESAMPLES, LEVEL, seed, mean)
    return {
        "tc": _number(tc[1]),
        "difference": _number(tc[0] - tc[1]),
        "difference_low": _number(low),
        "difference_high": _number(high),
    }


def truth_figures(truths: Mapping[str, TruthCounts]) -> dict[str, Any]:
    """mIoU over all labelled frames, and VC_n, the paper's and the released script's, from the counts of each clip."""
    counts = iou_counts(*tp_fp_fn(pooled_confusion(truths)))
    figures: dict[str, Any] = {
        "miou": _number(mean_ratio(counts.intersection, counts.union)),
        "labelled_frames": sum(one.frames for one in truths.values()),
    }
    for length in VC_LENGTHS:
        windows = [one.windows[length] for one in truths.values()]
        figures[f"vc{length}"] = _number(mean_video_consistency(windows))
        figures[f"vc{length}_released"] = _number(released_video_consistency(windows))
        figures[f"vc{length}_windows"] = sum(len(one.stable) for one in windows)
    return figures


def pooled_confusion(truths: Mapping[str, TruthCounts]) -> np.ndarray:
    """Confusion matrix over all labelled frames, int64 (C, C), row = truth, column = prediction."""
    return sum(one.confusion for one in truths.values())


def clip_truth_figures(truth: TruthCounts) -> dict[str, Any]:
    """mIoU and VC_n of one clip."""
    counts = iou_counts(*tp_fp_fn(truth.confusion))
    figures = {"miou": _number(mean_ratio(counts.intersection, counts.union))}
    return figures | {f"vc{length}": _number(video_consistency(truth.windows[length])) for length in VC_LENGTHS}


def by_clip(results: Iterable[PairResult]) -> dict[str, list[PairResult]]:
    """Counted results by clip, in the order given; clips without one are left out."""
    clips: dict[str, list[PairResult]] = {}
    for one in results:
        if not one.skipped:
            clips.setdefault(one.clip, []).append(one)
    return clips


def clip_counts(clips: Clips, protocol: str) -> IouCounts:
    """Pooled counts of each clip, with an axis of clips in front."""
    return stacked(_pooled(ones, protocol) for ones in clips.values())


def _sums(clips: Clips, what: str) -> Counts:
    """Sums of each clip of a pair's (numerator, denominator) ``flips`` or ``warp_error``, (clips, 1)."""
    sums = np.zeros((2, len(clips), 1))
    for position, ones in enumerate(clips.values()):
        found = [getattr(one, what) for one in ones if getattr(one, what) is not None]
        if found:
            sums[:, position, 0] = np.sum(found, axis=0)
    return sums[0], sums[1]


def _clip_figures(results: Sequence[PairResult], protocol: str) -> dict[str, Any]:
    pooled = _pooled(results, protocol)
    single = {results[0].clip: results}
    return {
        "pairs": len(results),
        "tc": _number(temporal_consistency(pooled, protocol)),
        "agreement": _number(pixel_agreement(pooled)),
        "flip_rate": _number(mean_ratio(*_sums(single, "flips"))[0]),
        "warp_error": _number(mean_ratio(*_sums(single, "warp_error"))[0]),
    }


def _interval_text(clips: int) -> str:
    if clips == 1:
        return "none: one clip"
    narrow = f"; too narrow with fewer than {ENOUGH_CLIPS}" if clips < ENOUGH_CLIPS else ""
    return f"{LEVEL:.0%} bootstrap over {clips} clips{narrow}"


def _score(name: str, counts: Counts, many: bool, seed: int, mean=mean_ratio) -> dict[str, float | None]:
    if not many:
        value, low, high = mean(*(one.sum(axis=0) for one in counts)), None, None
    else:
        value, low, high = interval(*counts, resamples=RESAMPLES, level=LEVEL, seed=seed, mean=mean)
    return {name: _number(value), f"{name}_low": _number(low), f"{name}_high": _number(high)}


def _pooled(results: Sequence[PairResult], protocol: str) -> IouCounts:
    return pool(one.counts[protocol] for one in results)


def _number(value: float | None) -> float | None:
    """A plain float; None for NaN, which JSON does not know."""
    return None if value is None or math.isnan(value) else float(value)
