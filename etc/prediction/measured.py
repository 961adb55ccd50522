"""Consistency of predictions while they are made: the figures that ``etc tc`` gives for the written ids."""

from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.flow.estimators.dis import Dis
from etc.metrics import FlipRate, TemporalConsistency
from etc.prediction.sources import Frame


class Figures(NamedTuple):
    """Shares from 0 to 1, NaN where nothing could be compared.

    Attributes:
        agreement: pixels with the same class in both frames of a pair, see docs/metrics.md.
        flip_rate: pixels whose class changes twice in three frames.
    """

    agreement: float
    flip_rate: float


class Measured:
    """Adds up pixel agreement and flips, two frames in memory, however long the video is.

    Args:
        classes: C.
    """

    def __init__(self, classes: int) -> None:
        self._flow = Dis("medium")
        self._pairs, self._flips = TemporalConsistency(classes), FlipRate()
        self._image = np.empty(0, np.uint8)

    def __call__(self, frame: Frame, ids: np.ndarray) -> None:
        """Compare a frame with the one before it, if it follows that.

        Args:
            frame: the next one.
            ids: its prediction, uint8 (H, W).

        Raises:
            UserError: two frames of a clip differ in size.
        """
        before, self._image, flow = self._image, frame.image, None
        if frame.follows:
            if frame.image.shape != before.shape:
                size, earlier = (f"{one.shape[1]}x{one.shape[0]}" for one in (frame.image, before))
                raise UserError(
                    f"clip {frame.clip}: frame {frame.number} has {size} pixels, the one before it {earlier}; give all "
                    "frames one size with --size"
                )
            # One flow for both.
            flow = self._flow(before, frame.image)
        for metric in (self._pairs, self._flips):
            if not frame.follows:
                metric.new_clip()
            metric.update(ids, flow=flow)

    def figures(self) -> Figures:
        """What has been found so far."""
        return Figures(self._pairs.compute()["agreement"], self._flips.compute())
