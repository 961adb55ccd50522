"""Labels from predictions: keep the confident pixels of each class, ignore the rest.

A single threshold would drop rare classes, for which a network is never as confident as for road. So each class keeps
the same share of its pixels (class-balanced self-training, Zou et al., ECCV 2018).
"""

import numpy as np
import pandas as pd

from etc.dataset.label_sets import IGNORE

LEVELS = 256


def quantise(confidence: np.ndarray) -> np.ndarray:
    """Confidence 0..1, float (any shape), to uint8 levels 0..255, rounded down: a level never overstates."""
    return np.clip(confidence * 255.0, 0, 255).astype(np.uint8)


def confidence_histogram(prediction: np.ndarray, level: np.ndarray, classes: int) -> np.ndarray:
    """Pixels per class and confidence level, int64 (C, 256), from uint8 arrays of one shape."""
    joint = prediction.astype(np.int64) * LEVELS + level
    return np.bincount(joint.ravel(), minlength=classes * LEVELS).reshape(classes, LEVELS)


def thresholds(histogram: np.ndarray, keep_share: float, min_confidence: float) -> np.ndarray:
    """The lowest confidence level that is kept, for each class.

    Args:
        histogram: int64 (C, 256), pixels per class and level over all frames.
        keep_share: share of each class's pixels to keep, above 0, at most 1.
        min_confidence: levels below this confidence (0..1) are never kept.

    Returns:
        int64 (C,), levels 0..255; a class keeps every pixel of at least this level. The share kept is the smallest
        possible that is not below ``keep_share``, unless ``min_confidence`` reduces it further.
    """
    # kept[c, l] = pixels of class c with level >= l
    kept = histogram[:, ::-1].cumsum(axis=1)[:, ::-1]
    enough = kept >= np.ceil(keep_share * histogram.sum(axis=1, keepdims=True))
    # Levels fall monotonically from True to False; the last True is the highest level that keeps enough.
    highest = enough.sum(axis=1) - 1
    return np.maximum(highest, int(np.ceil(min_confidence * 255.0)))


def keep_confident(prediction: np.ndarray, level: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Labels uint8 (H, W): the prediction where its level reaches its class's threshold, 255 elsewhere."""
    return np.where(level >= threshold[prediction], prediction, IGNORE).astype(np.uint8)


class Audit:
    """Counts of kept pixels and, where ground truth exists, of correct ones.

    Args:
        names: class names, position = train id.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._counts = {
            key: np.zeros(len(names), np.int64)
            for key in ("predicted", "kept", "judged", "right", "judged_kept", "right_kept")
        }

    def add(self, prediction: np.ndarray, label: np.ndarray, truth: np.ndarray | None) -> None:
        """Add one frame: prediction and kept label, uint8 (H, W), and the ground truth or None."""
        kept = label != IGNORE
        self._add("predicted", prediction)
        self._add("kept", prediction[kept])
        if truth is not None:
            judged = truth != IGNORE
            right = judged & (prediction == truth)
            self._add("judged", prediction[judged])
            self._add("right", prediction[right])
            self._add("judged_kept", prediction[judged & kept])
            self._add("right_kept", prediction[right & kept])

    def table(self, threshold: np.ndarray) -> pd.DataFrame:
        """One row per class and one for all: pixels, share kept, threshold, accuracy before and after filtering.

        Accuracy is the share of the class's predicted pixels that are correct; empty without ground truth.
        """
        counts = {key: np.append(values, values.sum()) for key, values in self._counts.items()}
        return pd.DataFrame(
            {
                "class": [*self._names, "all"],
                "predicted_pixels": counts["predicted"],
                "kept_pixels": counts["kept"],
                "kept_share": _ratio(counts["kept"], counts["predicted"]),
                "threshold": np.append(threshold / 255.0, np.nan),
                "accuracy_before": _ratio(counts["right"], counts["judged"]),
                "accuracy_kept": _ratio(counts["right_kept"], counts["judged_kept"]),
            }
        )

    def _add(self, key: str, ids: np.ndarray) -> None:
        self._counts[key] += np.bincount(ids.ravel(), minlength=len(self._names))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
