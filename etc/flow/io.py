"""Flow file formats: Middlebury ``.flo`` and KITTI 16-bit PNG."""

import os
from pathlib import Path

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.flow.warp import check_flow

_FLO_TAG = np.float32(202021.25)
_FLO_HEADER = 12
# Middlebury's flow code takes a vector as unknown when a component lies above 1e9, and writes 1e10. It does so for NaN,
# too; here NaN is an error, because it is what a network that has diverged writes.
_UNKNOWN_ABOVE = 1e9
UNKNOWN = 1e10

# KITTI 2015 development kit: value = flow * 64 + 2^15 in 16 bits.
_KITTI_SCALE = 64.0
_KITTI_OFFSET = 32768.0


def read_flo(path: str | os.PathLike) -> np.ndarray:
    """Read a ``.flo`` file: tag 202021.25, int32 width and height, float32 (u, v) row by row, little-endian.

    Returns:
        float32 (H, W, 2) in pixels. Middlebury marks unknown vectors with values above 1e9; they are left as they are
        (every warp takes them as out of frame).

    Raises:
        UserError: the file is missing, has the wrong tag or size, or holds NaN or infinite values.
    """
    data = read_bytes(path)
    if len(data) < _FLO_HEADER or np.frombuffer(data, "<f4", 1)[0] != _FLO_TAG:
        raise UserError(f"{path}: not a .flo file (its first four bytes are not the tag 202021.25)")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, offset=4))
    if width < 1 or height < 1:
        raise UserError(f"{path}: its header gives the impossible size {width}x{height}; get the file again")
    expected = _FLO_HEADER + 8 * width * height
    if len(data) != expected:
        state = "truncated" if len(data) < expected else "too long"
        raise UserError(f"{path}: {state}: {width}x{height} needs {expected} bytes, it has {len(data)}; get it again")
    flow = np.frombuffer(data, "<f4", offset=_FLO_HEADER).astype(np.float32).reshape(height, width, 2)
    _check(path, flow)
    return flow


def write_flo(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write float32 (H, W, 2) in pixels as ``.flo``.

    Raises:
        UserError: wrong shape or dtype, NaN or infinite values.
    """
    _check(path, flow)
    height, width = flow.shape[:2]
    with atomic(path) as stream:
        stream.write(_FLO_TAG.astype("<f4").tobytes())
        stream.write(np.array([width, height], "<i4").tobytes())
        stream.write(np.ascontiguousarray(flow, "<f4").tobytes())


def read_kitti_png(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a KITTI flow PNG: 16-bit RGB, red and green are ``flow * 64 + 2^15``, blue is 1 where valid.

    Returns:
        Flow float32 (H, W, 2) in pixels, zero where not valid, and valid bool (H, W).

    Raises:
        UserError: the file is missing, damaged, or not a 16-bit PNG of three channels.
    """
    data = np.frombuffer(read_bytes(path), np.uint8)
    encoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if encoded is None:
        raise UserError(f"{path}: not a readable PNG (damaged or truncated); get it again")
    if encoded.dtype != np.uint16 or encoded.ndim != 3 or encoded.shape[2] != 3:
        raise UserError(f"{path}: a KITTI flow is a 16-bit PNG of 3 channels, this is {encoded.dtype} {encoded.shape}")
    # OpenCV returns blue, green, red.
    valid = encoded[..., 0] > 0
    flow = (encoded[..., [2, 1]].astype(np.float32) - np.float32(_KITTI_OFFSET)) / np.float32(_KITTI_SCALE)
    flow[~valid] = 0
    return flow, valid


def write_kitti_png(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a flow as KITTI PNG, rounded to 1/64 pixel.

    Args:
        path: file to write.
        flow: float32 (H, W, 2) in pixels, -512 to 511.98 where valid.
        valid: bool (H, W); default: every pixel.

    Raises:
        UserError: wrong shape or dtype, NaN or infinite values, a valid vector out of the format's range.
    """
    _check(path, flow)
    if valid is None:
        valid = np.ones(flow.shape[:2], bool)
    if valid.shape != flow.shape[:2]:
        raise UserError(f"{path}: the valid mask {valid.shape} does not fit the flow {flow.shape}")
    values = np.rint(flow * _KITTI_SCALE + _KITTI_OFFSET)
    values[~valid] = 0
    if values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{path}: a vector component of {np.abs(flow[valid]).max():.1f} px does not fit the KITTI format "
            "(-512 to 511.98 px); mark such pixels as not valid or write a .flo file"
        )
    encoded = np.dstack([valid, values[..., 1], values[..., 0]]).astype(np.uint16)
    with atomic(path) as stream:
        stream.write(cv2.imencode(".png", encoded)[1].tobytes())


def read_flow(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a ``.flo`` file or, by its suffix ``.png``, a KITTI PNG.

    Returns:
        Flow float32 (H, W, 2) in pixels, ``UNKNOWN`` (out of every frame) where the file does not know it; known,
        bool (H, W).

    Raises:
        UserError: see ``read_flo`` and ``read_kitti_png``.
    """
    if Path(path).suffix.lower() == ".png":
        flow, known = read_kitti_png(path)
    else:
        flow = read_flo(path)
        known = (np.abs(flow) <= _UNKNOWN_ABOVE).all(axis=2)
    flow[~known] = UNKNOWN
    return flow, known


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a flow file.

    Raises:
        UserError: it is missing, no regular file, or cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a regular file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such flow file") from error
    except OSError as error:
        raise UserError(f"{path}: not a readable file ({error.strerror})") from error


def _check(path: str | os.PathLike, flow: np.ndarray) -> None:
    try:
        check_flow(flow)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
