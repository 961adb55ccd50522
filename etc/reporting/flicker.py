"""Flicker as pictures: where the class of a pixel changes against the motion."""

import cv2
import numpy as np

from etc.evaluation.flips import change_map
from etc.evaluation.protocols import seen_from

# As a picture shows them, red, green, blue.
CHANGED, FLIPPED = (255, 176, 0), (230, 20, 30)
# What the two pictures of :class:`Flicker` show.
CAPTIONS = ("changes (amber), flips (red)", "changes so far")
# The brightest colour of the accumulated map: pixels that change in this share of the frames, or more often.
OFTEN = 0.25
_DIM = 0.45  # brightness of the grey frame below the colours


def dimmed(grey: np.ndarray) -> np.ndarray:
    """A grey picture, uint8 (H, W), as a dark ground for colours, uint8 (H, W, 3)."""
    return cv2.merge([(grey * _DIM).astype(np.uint8)] * 3)


class Flicker:
    """Follows one network's predictions, frame by frame.

    A pixel of frame t *changes* when its class is not the one that it has in frame t-1 along the flow F_{t->t-1}, and
    *flips* when it also changed from t-2 to t-1 (``etc.evaluation.flips``, with time reversed so that the map lies on
    the frame that is shown). Accumulated is the share of frames in which each place of the picture changed.
    """

    def __init__(self) -> None:
        self._ids = self._changes = np.empty(0, np.uint8)
        self._sum = np.empty(0, np.float32)
        self._frames = 0

    def __call__(self, image: np.ndarray, ids: np.ndarray, flow: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The map of this frame, and the accumulated one.

        Args:
            image: uint8 (H, W, 3) RGB.
            ids: its prediction, uint8 (H, W).
            flow: F_{t->t-1}, float32 (H, W, 2), pixels; None where this frame does not follow the one before.

        Returns:
            uint8 (H, W, 3) RGB each: amber where a pixel changes and red where it flips, over the dimmed frame; and
            dark to bright, bright where a place changes in a quarter of the frames or more.
        """
        changes, flips = np.zeros(ids.shape, np.uint8), np.zeros(ids.shape, bool)
        if self._sum.shape != ids.shape:
            self._sum, self._frames = np.zeros(ids.shape, np.float32), 0
        elif flow is not None:
            changes = change_map(ids, seen_from(self._ids, flow))
            flips = (changes == 1) & (seen_from(self._changes, flow) == 1)
            self._sum += changes == 1
            self._frames += 1
        self._ids, self._changes = ids, changes
        grey = dimmed(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        return self._shown(grey, changes == 1, flips), self._accumulated(grey)

    def _shown(self, grey: np.ndarray, changed: np.ndarray, flipped: np.ndarray) -> np.ndarray:
        picture = grey.copy()
        picture[changed] = CHANGED
        picture[flipped] = FLIPPED
        return picture

    def _accumulated(self, grey: np.ndarray) -> np.ndarray:
        share = np.minimum(self._sum / max(self._frames, 1) / OFTEN, 1)
        heat = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        # Nothing accumulates in black, so the frame shows through there.
        return np.maximum(grey // 2, cv2.cvtColor(heat, cv2.COLOR_BGR2RGB))
