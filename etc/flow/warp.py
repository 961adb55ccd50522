"""Backward warps: see frame s from frame t through the flow F_{t->s}.

``W(x_s, F)(p) = x_s(p + F(p))``. Integer coordinates are pixel centres, so zero flow is exactly the identity.

Rounding rule of the nearest warp: the *flow* is rounded to whole pixels, halves to even, and then added to the
pixel's coordinates. Rounding the flow and not the sum keeps a uniform motion uniform (no dependence on the parity
of the column), and it treats a motion and its opposite alike. A pixel is inside when its rounded position is.
"""

import functools

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE

# cv2.remap takes int16 positions: a coordinate and a clipped displacement must fit into one together.
_REACH = 16383

# Rows worked on at a time: their temporary arrays stay in the processor's cache.
_BLOCK = 64

# The same for ``floor_positions_in_steps``, which keeps four arrays of them.
_STEP_ROWS = 16


def inside_frame(flow: np.ndarray) -> np.ndarray:
    """Where the flow ends inside the frame, by the rounding rule of this module.

    Args:
        flow: float32 (H, W, 2) in pixels.

    Returns:
        bool (H, W).
    """
    return _inside(pixel_positions(flow, flow.shape))


def warp_labels(label: np.ndarray, flow: np.ndarray, outside: int = IGNORE) -> np.ndarray:
    """Nearest-neighbour backward warp of a label map.

    Args:
        label: uint8 (H, W) of frame s.
        flow: float32 (H, W, 2), F_{t->s} on the grid of frame t, in pixels.
        outside: id given to pixels that the flow takes out of the frame, see ``inside_frame``.

    Returns:
        The label map seen from frame t, uint8 (H, W).

    Raises:
        UserError: the shapes do not match, or the flow has NaN or infinite values.
    """
    return _remap_nearest(label, pixel_positions(flow, label.shape), outside)


def warp_image(image: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear backward warp of an image or of any float map.

    Args:
        image: uint8 or float32 (H, W) or (H, W, K) of frame s. uint8 results are rounded to the nearest integer.
        flow: float32 (H, W, 2), F_{t->s} on the grid of frame t, in pixels.

    Returns:
        The image seen from frame t, same shape and dtype, and the mask of pixels inside the frame, bool (H, W).
        Outside the frame the nearest border pixel is repeated.

    Raises:
        UserError: the shapes do not match, or the flow has NaN or infinite values.
    """
    positions = pixel_positions(flow, image.shape)
    height, width = flow.shape[:2]
    # cv2.remap's own border rule stops working far outside, so the positions are clamped here.
    x = np.clip(flow[..., 0] + np.arange(width, dtype=np.float32), 0, width - 1)
    y = np.clip(flow[..., 1] + np.arange(height, dtype=np.float32)[:, None], 0, height - 1)
    warped = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped.reshape(image.shape), _inside(positions)


def pixel_positions(flow: np.ndarray, frame: tuple[int, ...]) -> np.ndarray:
    """The pixel of frame s that each pixel of frame t is read from.

    Args:
        flow: float32 (H, W, 2) in pixels.
        frame: shape of frame s, to compare with.

    Returns:
        (x, y), int16 (H, W, 2), as ``cv2.remap`` takes it. It may lie outside the frame.

    Raises:
        UserError: see ``check_flow``.
    """
    check_flow(flow, frame)
    positions = np.empty(flow.shape, np.int16)
    for start in range(0, len(flow), _BLOCK):
        rows = slice(start, start + _BLOCK)
        whole = np.rint(flow[rows])
        positions[rows] = np.clip(whole, -_REACH, _REACH, out=whole)
    positions += _grid(*flow.shape[:2])
    return positions


def floor_positions_in_steps(flow: np.ndarray) -> np.ndarray | None:
    """The pixel at or before the end of each vector, both ways, where all vectors are multiples of 1/256 px.

    One pass both finds out whether they are and gives the positions: stored flow is of this kind, and the passes over
    its values are what takes time.

    Args:
        flow: float32 (H, W, 2) in pixels, its shape checked, its values not.

    Returns:
        (x, y), int16 (H, W, 2), as ``pixel_positions``; None if a vector is no such multiple, NaN or infinite.
    """
    positions = np.empty(flow.shape, np.int16)
    shape = (_STEP_ROWS, *flow.shape[1:])
    scaled, again, whole = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.int32)
    # What int32 cannot hold comes back as another number, and the vector is then not taken.
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(flow), _STEP_ROWS):
            rows = flow[start : start + _STEP_ROWS]
            steps, back, whole_steps = scaled[: len(rows)], again[: len(rows)], whole[: len(rows)]
            np.multiply(rows, np.float32(256), out=steps)
            whole_steps[...] = steps
            back[...] = whole_steps
            if not np.array_equal(steps, back):
                return None
            whole_steps >>= 8
            positions[start : start + _STEP_ROWS] = np.clip(whole_steps, -_REACH, _REACH, out=whole_steps)
    positions += _grid(*flow.shape[:2])
    return positions


def check_flow(flow: np.ndarray, frame: tuple[int, ...] | None = None) -> None:
    """Raise ``UserError`` unless ``flow`` is finite, float32 and (H, W, 2), and, if given, of the frame's size (H, W).

    A frame of more than 16383 pixels a side cannot be warped and is refused as well.
    """
    check_flow_shape(flow, frame)
    if not np.isfinite(flow).all():
        row, column = np.argwhere(~np.isfinite(flow).all(axis=2))[0]
        raise UserError(
            f"the flow at row {row}, column {column} is {flow[row, column].tolist()}: "
            "set unknown vectors to finite values"
        )


def check_flow_shape(flow: np.ndarray, frame: tuple[int, ...] | None = None) -> None:
    """``check_flow`` without a look at the values."""
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.dtype != np.float32:
        raise UserError(f"a flow must be float32 of shape (H, W, 2), this one is {flow.dtype} {flow.shape}")
    if frame is None:
        return
    height, width = flow.shape[:2]
    if frame[:2] != (height, width):
        raise UserError(f"the flow's size {(height, width)} differs from the frame's size {frame[:2]}")
    if max(height, width) > _REACH:
        raise UserError(f"a frame of {width}x{height} is too large: at most {_REACH} pixels a side can be warped")


def _inside(positions: np.ndarray) -> np.ndarray:
    height, width = positions.shape[:2]
    # Seen as unsigned, a negative coordinate is larger than any width.
    unsigned = positions.view(np.uint16)
    return (unsigned[..., 0] < width) & (unsigned[..., 1] < height)


def _remap_nearest(label: np.ndarray, positions: np.ndarray, outside: int) -> np.ndarray:
    return cv2.remap(
        label, positions, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,) * 4
    )


@functools.lru_cache(maxsize=2)
def _grid(height: int, width: int) -> np.ndarray:
    """int16 (H, W, 2): the coordinates (x, y) of every pixel."""
    grid = np.empty((height, width, 2), np.int16)
    grid[..., 0] = np.arange(width)
    grid[..., 1] = np.arange(height)[:, None]
    grid.setflags(write=False)
    return grid
