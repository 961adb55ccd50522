"""Intersection over union from integer counts: accumulate first, divide last."""

from typing import NamedTuple

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE

# cv2.calcHist counts in float32, which is exact up to 2^24.
_EXACT = 1 << 24


class IouCounts(NamedTuple):
    """Counts of one or many frames.

    Attributes:
        intersection: int64 (C,), pixels of class c that are predicted as c.
        union: int64 (C,), pixels that are c in the truth or in the prediction.
        correct: number of pixels predicted right.
        counted: number of pixels compared.
    """

    intersection: np.ndarray
    union: np.ndarray
    correct: int
    counted: int


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
    prediction: np.ndarray, truth: np.ndarray, classes: int, partial_prediction: bool = False
) -> np.ndarray:
    """Confusion matrix of one frame.

    Args:
        prediction: uint8 (H, W), ids 0..C-1.
        truth: uint8 (H, W), ids 0..C-1, 255 = ignore: such pixels are not counted.
        classes: C.
        partial_prediction: allow 255 in the prediction and leave such pixels out (the audit of pseudo-labels). A
            network answers everywhere, so otherwise 255 in the prediction is an error and not a way to skip pixels.

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
        raise UserError(f"the prediction has id 255 at {open_pixels} pixels that the truth labels: give each a class")
    return joint[:classes, :classes]


def iou_counts(confusion: np.ndarray) -> IouCounts:
    """Counts from a confusion matrix int64 (C, C)."""
    intersection = np.diag(confusion).copy()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return IouCounts(intersection, union, int(intersection.sum()), int(confusion.sum()))


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
