"""Polynomial expansion (Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003)."""

import cv2
import numpy as np

from etc.flow.estimators import opencv


class Farneback:
    """OpenCV's implementation.

    Args:
        pyramid_scale: size of each pyramid level relative to the one below, 0 to 1.
        levels: pyramid levels.
        window: side of the averaging window in pixels.
        iterations: iterations at each level.
        neighbourhood: side of the pixel neighbourhood of the polynomial, 5 or 7.
        sigma: its Gaussian's standard deviation in pixels.
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

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        # OpenCV takes these by position, in the order of ``parameters``; the last argument is its flags.
        arguments = (*self.parameters.values(), 0)
        return opencv.estimate(
            self.name, frame0, frame1, lambda gray0, gray1: cv2.calcOpticalFlowFarneback(gray0, gray1, None, *arguments)
        )
