"""What every estimator asks of its two frames."""

import numpy as np

from etc.core.errors import UserError


def check_frames(method: str, frame0: np.ndarray, frame1: np.ndarray) -> None:
    """Raise ``UserError`` unless both frames are uint8 (H, W, 3) and of one size."""
    for frame in (frame0, frame1):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != frame0.shape:
            raise UserError(
                f"{method} flow needs two frames uint8 (H, W, 3) of one size, "
                f"got {frame0.dtype} {frame0.shape} and {frame1.dtype} {frame1.shape}"
            )
