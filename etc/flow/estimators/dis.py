"""Dense inverse search (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016)."""

from typing import ClassVar

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.flow.estimators import opencv


class Dis:
    """OpenCV's implementation.

    Args:
        preset: ``ultrafast``, ``fast`` or ``medium``; slower is finer.

    Raises:
        UserError: there is no such preset.
    """

    name = "dis"
    version = opencv.VERSION
    _presets: ClassVar = {
        "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
        "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
        "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    }

    def __init__(self, preset: str = "medium"):
        if preset not in self._presets:
            raise UserError(f"DIS flow has no preset {preset!r}: choose one of {', '.join(self._presets)}")
        self.parameters = {"preset": preset}

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        # A fresh object each time: no state of an earlier pair can reach this one.
        estimator = cv2.DISOpticalFlow_create(self._presets[self.parameters["preset"]])
        return opencv.estimate(self.name, frame0, frame1, lambda gray0, gray1: estimator.calc(gray0, gray1, None))
