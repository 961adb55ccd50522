"""Temporal consistency (Liu et al., ECCV 2020): mean IoU of each prediction and the next one warped back.

No ground truth is needed. Intersections and unions of each class are added up over all pairs, then divided, then
averaged over the classes. How a pair is warped and counted is the protocol's, see ``etc.evaluation.protocols``.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from etc.evaluation.iou import IouCounts, joint_histogram, stacked, total
from etc.evaluation.protocols import protocol_named

DEFAULT_PROTOCOL = "corrected"
# Of the predicted pixels: the share that makes a class frequent, see ``frequent_classes``.
FREQUENT_SHARE = 0.001


def pair_counts(
    prediction: np.ndarray,
    prediction_next: np.ndarray,
    flow: np.ndarray,
    visible: np.ndarray | None,
    classes: int,
    protocol: str = DEFAULT_PROTOCOL,
) -> IouCounts:
    """Compare the predictions of two frames.

    Args:
        prediction: uint8 (H, W), ids of frame t, 0..C-1, 255 = not counted.
        prediction_next: uint8 (H, W), ids of frame t+1.
        flow: F_{t->t+1} on the grid of frame t, float32 (H, W, 2), pixels.
        visible: bool (H, W) on the grid of frame t; only ``occlusion_aware`` looks at it.
        classes: C.
        protocol: name of the protocol.

    Returns:
        Intersection int64 (C,), union int64 (C,), number of agreeing pixels, number of counted pixels.

    Raises:
        UserError: sizes differ, an id is out of range, the flow is not finite, the protocol is unknown or needs
            visibility that is not given.
    """
    chosen = protocol_named(protocol)
    return chosen.count(joint_histogram(prediction, chosen.warp(prediction_next, flow, visible)), classes)


def pool(counts: Iterable[IouCounts]) -> IouCounts:
    """Add the counts of several pairs (at least one)."""
    return total(stacked(counts))


def scored(counts: IouCounts) -> tuple[np.ndarray, ...]:
    """What a protocol's ``ratio`` and ``mean`` are made from: intersection, union and, if counted, source_pixels."""
    return tuple(one for one in (counts.intersection, counts.union, counts.source_pixels) if one is not None)


def class_consistency(counts: IouCounts, protocol: str = DEFAULT_PROTOCOL) -> np.ndarray:
    """IoU of each class over pooled counts, float64 (C,); NaN for a class that does not occur.

    Under ``vspw_released`` a class occurs if it is in a prediction at t; being in a warped one is not enough.
    """
    return protocol_named(protocol).ratio(*scored(counts))


def temporal_consistency(counts: IouCounts, protocol: str = DEFAULT_PROTOCOL) -> float:
    """TC of pooled counts, 0 to 1. Classes that do not occur are left out (``etc_released`` counts them as 0)."""
    return float(protocol_named(protocol).mean(*scored(counts)))


def frequent_classes(runs: Sequence[IouCounts], share: float = FREQUENT_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Classes that make up at least ``share`` of the predictions in every one of several runs, and those that do not.

    TC weighs all classes alike, also one that a run predicts at a handful of flickering pixels and another nowhere.
    Over the classes that all runs predict often enough, single pixels cannot swing a difference between them. The truth
    has no say: a class that is frequent there but hardly predicted would bring the flicker back.

    Args:
        runs: pooled counts of each run, at least one, under ``corrected`` or ``occlusion_aware``: the released
            protocols compare with maps that hold classes nobody predicted.
        share: of the compared pixels of both maps, 0 to 1.

    Returns:
        Two masks, bool (C,): the frequent classes, and those that a run predicts and that are not frequent.
    """
    # A class has intersection + union pixels in the two maps together.
    shares = [(one.intersection + one.union) / max(2 * one.counted, 1) for one in runs]
    frequent = np.min(shares, axis=0) >= share
    return frequent, np.any([one.union > 0 for one in runs], axis=0) & ~frequent


def pixel_agreement(counts: IouCounts) -> float:
    """Share of compared pixels that have the same class in both maps, 0 to 1; NaN when none was compared.

    Of a prediction and the truth it is the pixel accuracy.
    """
    return float(counts.same / counts.counted) if counts.counted else float("nan")
