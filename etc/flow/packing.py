"""Flow and masks as compressed bytes, and back.

Flow is rounded to int16 at the stated step, differenced along the rows (modulo 2^16, so nothing is lost), its low and
high bytes are separated, and zstd compresses them. Masks are packed eight pixels a byte.
"""

import cv2
import numpy as np
import pyarrow as pa

from etc.flow.precision import LIMIT

_LEVEL = 3
# Rows unpacked at a time: they stay in the processor's cache.
_ROWS = 32


def pack_flow(flow: np.ndarray, step: float) -> bytes:
    """Pack flow, float32 (H, W, 2), pixels, in steps of ``step`` pixels; what int16 does not hold saturates."""
    planes = np.clip(np.moveaxis(flow, 2, 0), -LIMIT * step, LIMIT * step)
    values = np.rint(planes / np.float32(step)).astype(np.int16).view(np.uint16)
    difference = values.copy()
    difference[..., 1:] -= values[..., :-1]
    low, high = (difference & 255).astype(np.uint8), (difference >> 8).astype(np.uint8)
    return _pack(low.tobytes() + high.tobytes())


def unpack_flow(payload: pa.Buffer, shape: tuple[int, int], step: float, rows: slice, columns: slice) -> np.ndarray:
    """A part of what :func:`pack_flow` packed, float32 (h, w, 2), up to the rounding.

    Args:
        payload: the packed bytes.
        shape: height and width of the whole.
        step: pixels.
        rows: of the part, with a start and an end inside the whole.
        columns: likewise.
    """
    height, width = shape
    data = np.frombuffer(_unpack(payload, 4 * height * width), np.uint8)
    # The sums begin at the left edge.
    (low_u, low_v), (high_u, high_v) = data.reshape(2, 2, height, width)[..., rows, : columns.stop]
    zero = np.zeros((_ROWS, columns.stop), np.uint8)
    flow = np.empty((rows.stop - rows.start, columns.stop - columns.start, 2), np.float32)
    for start in range(0, len(flow), _ROWS):
        block = slice(start, min(start + _ROWS, len(flow)))
        none = zero[: block.stop - start]
        # One 64-bit number a pixel: u in its lower half, v in the upper. One sum along the row then adds up both, and
        # 32 bits hold the carries of more pixels than a row has.
        pixels = cv2.merge([low_u[block], high_u[block], none, none, low_v[block], high_v[block], none, none])
        sums = pixels.view("<u8")
        np.cumsum(sums, axis=1, out=sums)
        np.multiply(pixels.view("<i2")[:, columns.start :, ::2], np.float32(step), out=flow[block])
    return flow


def pack_mask(visible: np.ndarray) -> bytes:
    """Pack a mask, bool (H, W)."""
    return _pack(np.packbits(visible).tobytes())


def unpack_mask(packed: pa.Buffer, shape: tuple[int, int], rows: slice) -> np.ndarray:
    """Rows of a mask, bool (h, W); ``shape`` is that of the whole."""
    height, width = shape
    bits = np.frombuffer(_unpack(packed, (height * width + 7) // 8), np.uint8)
    # A row may begin inside a byte.
    first, before = divmod(rows.start * width, 8)
    count = (rows.stop - rows.start) * width
    return np.unpackbits(bits[first:], count=before + count)[before:].view(bool).reshape(-1, width)


def _pack(data: bytes) -> bytes:
    return pa.Codec("zstd", compression_level=_LEVEL).compress(data, asbytes=True)


def _unpack(data: pa.Buffer, size: int) -> pa.Buffer:
    return pa.Codec("zstd").decompress(data, decompressed_size=size)
