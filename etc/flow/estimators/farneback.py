"""Polynomial expansion (Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003)."""

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.flow.estimators import opencv

# Smallest and largest value of each parameter; OpenCV takes others without a word, hangs or asks for all memory.
_RANGES = {
    "pyramid_scale": (0.01, 0.99),
    "levels": (1, 64),
    "window": (1, 1000),
    "iterations": (1, 1000),
    "neighbourhood": (3, 99),
    "sigma": (0.01, 100),
}


class Farneback:
    """OpenCV's implementation.

    Args:
        pyramid_scale: size of each pyramid level relative to the one below, 0 to 1.
        levels: pyramid levels.
        window: side of the averaging window in pixels.
        iterations: iterations at each level.
        neighbourhood: side of the pixel neighbourhood of the polynomial, 5 or 7.
        sigma: its Gaussian's standard deviation in pixels.

    Raises:
        UserError: a parameter is out of range.
    """

    name = "farneback"
    version = opencv.VERSION

    def __init__(
        self,
        pyramid_scale: float = 0.5,
        levels: int = 5,
        window: int = 15,
        iterations: int = 3,
        neighbourhood: int = 5,
        sigma: float = 1.2,
    ):
        self.parameters = {
            "pyramid_scale": pyramid_scale,
            "levels": levels,
            "window": window,
            "iterations": iterations,
            "neighbourhood": neighbourhood,
            "sigma": sigma,
        }
        for parameter, value in self.parameters.items():
            low, high = _RANGES[parameter]
            if not low <= value <= high:
                raise UserError(f"Farnebäck flow: {parameter} is {value}, but must lie between {low} and {high}")

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        # OpenCV takes these by position, in the order of ``parameters``; the last argument is its flags.
        arguments = (*self.parameters.values(), 0)
        return opencv.estimate(
            self.name, frame0, frame1, lambda gray0, gray1: cv2.calcOpticalFlowFarneback(gray0, gray1, None, *arguments)
        )
