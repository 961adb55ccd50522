"""Where flow comes from: estimators that take two frames, and the exact flow of generated clips."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np

from etc.errors import UserError
from etc.flow.store import FlowReader


class FlowMethod(Protocol):
    """Estimates the flow between two frames.

    ``name``, ``version`` and ``parameters`` enter the key of every stored flow: two methods that can give different
    flow must differ in one of them.
    """

    name: str
    version: str
    parameters: dict[str, Any]

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """F_{0->1}, float32 (H, W, 2) in pixels, from two frames uint8 (H, W, 3) RGB."""
        ...


class Dis:
    """Dense inverse search (Kroeger et al., ECCV 2016), OpenCV's implementation.

    Args:
        preset: ``ultrafast``, ``fast`` or ``medium``; slower is finer.
    """

    name = "dis"
    version = f"opencv-{cv2.__version__}"
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
        return _estimate(self.name, frame0, frame1, lambda gray0, gray1: estimator.calc(gray0, gray1, None))


class Farneback:
    """Polynomial expansion (Farneback, SCIA 2003), OpenCV's implementation.

    Args:
        pyramid_scale: size of each pyramid level relative to the one below, 0 to 1.
        levels: pyramid levels.
        window: side of the averaging window in pixels.
        iterations: iterations at each level.
        neighbourhood: side of the pixel neighbourhood of the polynomial, 5 or 7.
        sigma: its Gaussian's standard deviation in pixels.
    """

    name = "farneback"
    version = f"opencv-{cv2.__version__}"

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
        return _estimate(
            self.name, frame0, frame1, lambda gray0, gray1: cv2.calcOpticalFlowFarneback(gray0, gray1, None, *arguments)
        )


class ExactFlow:
    """The true flow and visibility of generated clips, kept as one flow file a clip. It estimates nothing.

    Args:
        folder: holds ``<clip>.arrow``.
    """

    name = "exact"
    version = "1"

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        # The folder is no parameter: the same flow from another place is the same flow.
        self.parameters: dict[str, Any] = {}

    def clip(self, clip: str) -> FlowReader:
        """Reader of one clip's flow.

        Raises:
            UserError: there is no such clip, or its file is damaged.
        """
        return FlowReader(self.folder / f"{clip}.arrow")


METHODS: dict[str, type] = {method.name: method for method in (Dis, Farneback, ExactFlow)}


def build(name: str, **parameters: Any) -> FlowMethod | ExactFlow:
    """Make a flow method by name: ``dis``, ``farneback`` or ``exact``.

    Raises:
        UserError: unknown name, parameter or value.
    """
    if name not in METHODS:
        raise UserError(f"unknown flow method {name!r}: choose one of {', '.join(METHODS)}")
    try:
        return METHODS[name](**parameters)
    except TypeError as error:
        raise UserError(f"flow method {name!r} does not take the parameters {sorted(parameters)}: {error}") from error


def _estimate(name: str, frame0: np.ndarray, frame1: np.ndarray, method: Callable) -> np.ndarray:
    for frame in (frame0, frame1):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != frame0.shape:
            raise UserError(
                f"{name} flow needs two frames uint8 (H, W, 3) of one size, "
                f"got {frame0.dtype} {frame0.shape} and {frame1.dtype} {frame1.shape}"
            )
    try:
        return method(cv2.cvtColor(frame0, cv2.COLOR_RGB2GRAY), cv2.cvtColor(frame1, cv2.COLOR_RGB2GRAY))
    except cv2.error as error:
        raise UserError(f"{name} flow failed on frames of shape {frame0.shape}: {error.err}") from error
