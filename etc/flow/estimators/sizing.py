"""Frames brought to a size that a network takes, and the network's flow brought back to the frame."""

from typing import NamedTuple

import cv2
import numpy as np


class Window(NamedTuple):
    """Where the frame lies in the padded picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


def pad(frame: np.ndarray, multiple: int, minimum: int = 1) -> tuple[np.ndarray, Window]:
    """Pad a frame evenly on all sides by repeating its border.

    Args:
        frame: (H, W, 3).
        multiple: height and width become multiples of this.
        minimum: and at least this, in pixels.

    Returns:
        The padded frame, and where the frame lies in it.
    """
    height, width = frame.shape[:2]
    rows, columns = (-(-max(side, minimum) // multiple) * multiple - side for side in (height, width))
    window = Window(rows // 2, columns // 2, height, width)
    padded = cv2.copyMakeBorder(
        frame, window.top, rows - window.top, window.left, columns - window.left, cv2.BORDER_REPLICATE
    )
    return padded, window


def crop(flow: np.ndarray, window: Window) -> np.ndarray:
    """The part of a padded picture's flow that belongs to the frame, (H, W, 2)."""
    rows = slice(window.top, window.top + window.height)
    return np.ascontiguousarray(flow[rows, window.left : window.left + window.width])


def resize_frame(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A frame at another size (height, width): area averages where it shrinks, bilinear where it grows."""
    shrinks = shape[0] < frame.shape[0] or shape[1] < frame.shape[1]
    return cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_flow(flow: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A flow at another size (height, width); its vectors are scaled with it, u by the width and v by the height."""
    factors = np.float32([shape[1] / flow.shape[1], shape[0] / flow.shape[0]])
    return cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR) * factors
