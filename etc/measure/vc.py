"""Video consistency VC_n (Miao et al., "VSPW", CVPR 2021): right in every frame where the truth holds still.

Over windows of n consecutive frames: of the pixels whose truth stays the same over the window, the share for which the
prediction is right in every frame. Mean over the windows of a video, then over videos. What the script released with
VSPW computes, ``VC_perclip.py``, is another figure, and stands beside it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE


class WindowCounts(NamedTuple):
    """Counts of the windows of one video, in order of time.

    Attributes:
        right: int64 (windows,), pixels with unchanged truth and a right prediction in every frame.
        stable: int64 (windows,), pixels with unchanged truth.
        kept, held: int64, the pixels that the released script counts: prediction and truth unchanged, right or wrong,
            and truth unchanged, be it 255. It leaves out the last window.
    """

    right: np.ndarray
    stable: np.ndarray
    kept: np.ndarray
    held: np.ndarray


class WindowCounter:
    """Counts the windows of one video frame by frame, of several lengths at once.

    Args:
        lengths: n of each kind of window, at least 2.

    Raises:
        UserError: n below 2.
    """

    def __init__(self, lengths: Iterable[int]) -> None:
        self._found: dict[int, list[tuple[int, ...]]] = {length: [] for length in lengths}
        for length in self._found:
            if length < 2:
                raise UserError(f"a VC window has at least 2 frames, not {length}")
        self._frames = 0
        self._previous: tuple[np.ndarray, np.ndarray] | None = None
        # For how many frames, up to the last one, the truth has been the same (and no 255), the prediction has been
        # right, the truth has been the same, the prediction has been the same.
        self._stable = self._correct = self._held = self._kept = np.zeros((), np.int32)

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame, two maps uint8 (H, W) of one size; 255 in the truth is not counted.

        Raises:
            UserError: the frame's size differs from that of the frame before it.
        """
        before, truth_before = self._previous or (prediction, truth)
        if truth.shape != truth_before.shape:
            raise UserError(
                f"frame {self._frames} of the video is {truth.shape}, the frame before it {truth_before.shape}"
            )
        self._held = np.where(truth == truth_before, self._held + 1, 1)
        self._kept = np.where(prediction == before, self._kept + 1, 1)
        self._stable = np.where(truth == IGNORE, 0, self._held)
        self._correct = np.where(prediction == truth, self._correct + 1, 0)
        self._previous = prediction, truth
        self._frames += 1
        for length, found in self._found.items():
            if self._frames >= length:
                stable, held = self._stable >= length, self._held >= length
                counted = (stable & (self._correct >= length), stable, held & (self._kept >= length), held)
                found.append(tuple(map(np.count_nonzero, counted)))

    def counts(self, length: int) -> WindowCounts:
        """Counts of the T - n + 1 windows of one length n after T frames; empty while the video is shorter."""
        right, stable, kept, held = np.array(self._found[length], np.int64).reshape(-1, 4).T
        return WindowCounts(right, stable, kept[:-1], held[:-1])


def video_consistency(counts: WindowCounts) -> float:
    """VC_n of one video: mean over its windows. Windows without a stable pixel are left out; NaN when none remains."""
    measured = counts.stable > 0
    if not measured.any():
        return float("nan")
    return float(np.mean(counts.right[measured] / counts.stable[measured]))


def mean_video_consistency(videos: Iterable[WindowCounts]) -> float:
    """VC_n of several videos: mean of the videos that have a value; NaN when none has."""
    values = np.array([video_consistency(counts) for counts in videos])
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def released_video_consistency(videos: Iterable[WindowCounts]) -> float:
    """What ``VC_perclip.py`` computes: mean over the windows of all videos that have one; NaN when none has."""
    counts = np.concatenate([np.zeros((2, 0)), *(np.stack([one.kept, one.held]) for one in videos)], axis=1)
    kept, held = counts[:, counts[1] > 0]
    return float(np.mean(kept / held)) if held.size else float("nan")
