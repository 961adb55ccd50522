"""Intersection over union from integer counts: accumulate first, divide last."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from etc.core.errors import UserError, many
from etc.dataset.label_sets import IGNORE

# cv2.calcHist counts in float32, which is exact up to 2^24.
_EXACT = 1 << 24


class IouCounts(NamedTuple):
    """Counts of two label maps, or of many such pairs: a prediction and the truth, or the next prediction warped back.

    Attributes:
        intersection: int64 (..., C), pixels of class c in both maps.
        union: int64 (..., C), pixels of class c in either.
        same: int64 (...,), pixels with the same class in both.
        counted: int64 (...,), pixels compared.
        source_pixels: int64 (..., C), pixels of class c in the first map, that of frame t; None unless a protocol's
            mean needs it.
    """

    intersection: np.ndarray
    union: np.ndarray
    same: np.ndarray
    counted: np.ndarray
    source_pixels: np.ndarray | None = None


def joint_histogram(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How often each pair of ids meets: int64 (256, 256), rows for ``first``, columns for ``second`` (both uint8)."""
    if first.shape != second.shape or first.dtype != np.uint8 or second.dtype != np.uint8:
        raise UserError(
            f"two label maps uint8 of one size are compared, got {first.dtype} {first.shape} "
            f"and {second.dtype} {second.shape}"
        )
    joint = np.zeros((256, 256), np.int64)
    maps = [values.reshape(1, -1) for values in (first, second)]
    for start in range(0, first.size, _EXACT):
        part = [values[:, start : start + _EXACT] for values in maps]
        # Twice as fast as np.bincount, and without its 8 bytes a pixel.
        joint += cv2.calcHist(part, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return joint


def check_ids(counts: np.ndarray, classes: int, what: str) -> None:
    """Raise ``UserError`` when an id from ``classes`` to 254 occurs; ``counts`` is (256,), pixels of each id."""
    strange = np.flatnonzero(counts[classes:IGNORE]) + classes
    if strange.size:
        raise UserError(
            f"{what} holds class id {strange[0]}, but there are {classes} classes (0 to {classes - 1}, 255 = ignore): "
            "convert it to train ids"
        )


def confusion_matrix(
    prediction: np.ndarray,
    truth: np.ndarray,
    classes: int,
    partial_prediction: bool = False,
    ignored: Iterable[int] = (IGNORE,),
) -> np.ndarray:
    """Confusion matrix of one frame.

    Args:
        prediction: uint8 (H, W), ids 0..C-1.
        truth: uint8 (H, W), ids 0..C-1, 255 = ignore: such pixels are not counted.
        classes: C.
        partial_prediction: allow 255 in the prediction and leave such pixels out (the audit of pseudo-labels). A
            network answers everywhere, so otherwise 255 in the prediction is an error and not a way to skip pixels.
        ignored: the ids that 255 in the prediction stands for, for the message.

    Returns:
        int64 (C, C), row = truth, column = prediction.

    Raises:
        UserError: sizes or dtypes differ, an id is out of range, or the prediction has 255 without
            ``partial_prediction``.
    """
    joint = joint_histogram(truth, prediction)
    check_ids(joint.sum(axis=1), classes, "the truth")
    check_ids(joint.sum(axis=0), classes, "the prediction")
    open_pixels = int(joint[:classes, IGNORE].sum())
    if open_pixels and not partial_prediction:
        ids = " or ".join(map(str, sorted(ignored)))
        raise UserError(
            f"the prediction has id {ids} at {many(open_pixels, 'pixel')} that the truth labels: give each a class"
        )
    return joint[:classes, :classes]


def tp_fp_fn(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives, each int64 (C,), of a confusion matrix int64 (C, C)."""
    tp = np.diag(confusion).copy()
    return tp, confusion.sum(axis=0) - tp, confusion.sum(axis=1) - tp


def iou_counts(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> IouCounts:
    """Counts from true positives, false positives and false negatives, each int64 (..., C)."""
    return IouCounts(tp, tp + fp + fn, tp.sum(axis=-1), (tp + fn).sum(axis=-1))


def stacked(counts: Iterable[IouCounts]) -> IouCounts:
    """Several counts (at least one) along a new first axis."""
    return IouCounts(*(None if values[0] is None else np.stack(values) for values in zip(*counts, strict=True)))


def total(counts: IouCounts) -> IouCounts:
    """Sums over the first axis."""
    return IouCounts(*(None if values is None else values.sum(axis=0) for values in counts))


def class_ratio(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """IoU of each class, float64 (..., C); NaN where the union is empty (the class does not occur)."""
    union = np.asarray(union, np.float64)
    ratio = np.full(union.shape, np.nan)
    return np.divide(intersection, union, out=ratio, where=union > 0)


def mean_ratio(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Mean IoU over the classes that occur, float64 (...,).

    A class occurs when it is in the truth or in the prediction. Classes that do not are left out of the mean, they
    count neither as 0 nor as 1. NaN when no class occurs.
    """
    ratio = class_ratio(intersection, union)
    present = ~np.isnan(ratio)
    total = np.where(present, ratio, 0).sum(axis=-1)
    number = present.sum(axis=-1)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)[()]
