"""Consistency of predictions while they are made: the figures that ``etc tc`` gives for the written ids."""

from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.consistency import Clip, ClipJudge
from etc.evaluation.flips import FlipCounts
from etc.evaluation.tc import DEFAULT_PROTOCOL
from etc.flow.estimated import EstimatedFlow
from etc.flow.estimators.dis import Dis
from etc.prediction.sources import Frame


class Figures(NamedTuple):
    """Shares from 0 to 1, None where nothing could be compared.

    Attributes:
        agreement: pixels with the same class in both frames of a pair, see docs/metrics.md.
        flip_rate: pixels whose class changes twice in three frames.
    """

    agreement: float | None
    flip_rate: float | None


class Measured:
    """Adds up pixel agreement and flips, two frames in memory, however long the video is.

    Args:
        classes: C.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._flow = Dis("medium")
        self._judge: ClipJudge | None = None
        self._images: dict[int, np.ndarray] = {}
        self._ids: dict[int, np.ndarray] = {}
        self._last = 0
        self._same = self._counted = 0
        self._flips = FlipCounts(0, 0)

    def __call__(self, frame: Frame, ids: np.ndarray) -> None:
        """Compare a frame with the one before it, if it follows that.

        Args:
            frame: the next one.
            ids: its prediction, uint8 (H, W).

        Raises:
            UserError: two frames of a clip differ in size.
        """
        if frame.follows:
            if ids.shape != self._ids[self._last].shape:
                (height, width), (before_height, before_width) = ids.shape, self._ids[self._last].shape
                raise UserError(
                    f"clip {frame.clip}: frame {frame.number} has {width}x{height} pixels, the one before it "
                    f"{before_width}x{before_height}; give all frames one size with --size"
                )
            self._images = {self._last: self._images[self._last], frame.number: frame.image}
            self._ids = {self._last: self._ids[self._last], frame.number: ids}
            self._count(self._last, frame.number)
        else:
            self._images, self._ids = {frame.number: frame.image}, {frame.number: ids}
            self._judge = self._begin(frame.clip)
        self._last = frame.number

    def figures(self) -> Figures:
        """What has been found so far."""
        return Figures(
            self._same / self._counted if self._counted else None,
            self._flips.flips / self._flips.counted if self._flips.counted else None,
        )

    def _begin(self, clip: str) -> ClipJudge:
        flow = EstimatedFlow(lambda number: self._images[number], self._flow, "dis (medium)")
        return ClipJudge(Clip(clip, [], lambda number: self._ids[number], flow), self._classes, flips=True)

    def _count(self, source: int, target: int) -> None:
        result = self._judge(source, target)
        counts = result.counts[DEFAULT_PROTOCOL]
        self._same += int(counts.same)
        self._counted += int(counts.counted)
        if result.flips is not None:
            self._flips = FlipCounts(*(one + more for one, more in zip(self._flips, result.flips, strict=True)))
