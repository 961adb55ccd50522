"""Video consistency VC_n (Miao et al., "VSPW", CVPR 2021): right in every frame where the truth holds still.

Over windows of n consecutive frames: of the pixels whose truth stays the same over the window, the share for which the
prediction is right in every frame. Mean over the windows of a video, then over videos.
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
    """

    right: np.ndarray
    stable: np.ndarray


class WindowCounter:
    """Counts the windows of one video frame by frame, of several lengths at once.

    Args:
        lengths: n of each kind of window, at least 2.

    Raises:
        UserError: n below 2.
    """

    def __init__(self, lengths: Iterable[int]) -> None:
        self._found: dict[int, tuple[list[int], list[int]]] = {length: ([], []) for length in lengths}
        for length in self._found:
            if length < 2:
                raise UserError(f"a VC window has at least 2 frames, not {length}")
        self._frames = 0
        self._previous: np.ndarray | None = None
        # How many frames, up to the last one, the truth has been the same and the prediction has been right.
        self._held = self._correct = np.zeros((), np.int32)

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Take the next frame, two maps uint8 (H, W) of one size; 255 in the truth is not counted.

        Raises:
            UserError: the frame's size differs from that of the frame before it.
        """
        previous = self._previous
        if previous is not None and truth.shape != previous.shape:
            raise UserError(f"frame {self._frames} of the video is {truth.shape}, the frame before it {previous.shape}")
        same = np.ones(truth.shape, bool) if previous is None else truth == previous
        self._held = np.where(same, self._held + 1, 1)
        self._held[truth == IGNORE] = 0
        self._correct = np.where(prediction == truth, self._correct + 1, 0)
        self._previous = truth
        self._frames += 1
        for length, (right, stable) in self._found.items():
            if self._frames >= length:
                unchanged = self._held >= length
                stable.append(np.count_nonzero(unchanged))
                right.append(np.count_nonzero(unchanged & (self._correct >= length)))

    def counts(self, length: int) -> WindowCounts:
        """Counts of the T - n + 1 windows of one length n after T frames; empty while the video is shorter."""
        right, stable = self._found[length]
        return WindowCounts(np.array(right, np.int64), np.array(stable, np.int64))


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
