"""What a flow estimator is, and what every estimator requires of its two frames."""

from typing import Any, Protocol

import numpy as np

from etc.core.errors import UserError


class Estimator(Protocol):
    """Estimates the flow between two frames.

    ``name``, ``version`` and ``parameters`` enter the key of every stored flow: two estimators that can give different
    flow must differ in one of them.
    """

    name: str
    version: str
    parameters: dict[str, Any]

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """F_{0->1}, float32 (H, W, 2) in pixels, from two frames uint8 (H, W, 3) RGB."""
        ...


def check_frames(method: str, frame0: np.ndarray, frame1: np.ndarray) -> None:
    """Raise ``UserError`` unless both frames are uint8 (H, W, 3) and of one size."""
    for frame in (frame0, frame1):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != frame0.shape:
            raise UserError(
                f"{method} flow needs two frames uint8 (H, W, 3) of one size, "
                f"got {frame0.dtype} {frame0.shape} and {frame1.dtype} {frame1.shape}"
            )
