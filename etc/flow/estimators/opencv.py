"""What the estimators of OpenCV have in common."""

from collections.abc import Callable

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.flow.estimators.estimator import check_frames

VERSION = f"opencv-{cv2.__version__}"


def estimate(
    method: str,
    frame0: np.ndarray,
    frame1: np.ndarray,
    calculate: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Call ``calculate`` on both frames in grey, uint8 (H, W).

    Raises:
        UserError: the frames are not uint8 (H, W, 3) of one size, or OpenCV refuses them (too small, for example).
    """
    check_frames(method, frame0, frame1)
    try:
        return calculate(cv2.cvtColor(frame0, cv2.COLOR_RGB2GRAY), cv2.cvtColor(frame1, cv2.COLOR_RGB2GRAY))
    except cv2.error as error:
        raise UserError(f"{method} flow failed on frames of shape {frame0.shape}: {error.err}") from error
