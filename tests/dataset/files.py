"""Picture files for tests, made from their bytes, so that every field of a header can be chosen."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: np.ndarray, bits: int = 8, colour: int | None = None, extra: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of unfiltered rows.

    Args:
        pixels: (H, W) or (H, W, C), below 2**bits.
        bits: of a value.
        colour: colour type; None takes that of the channels.
        extra: chunks before the pixels, such as a palette.
        after: bytes behind the file.
    """
    height, width = pixels.shape[:2]
    values = pixels.reshape(height, -1)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[1] // width] if colour is None else colour
    if bits == 16:
        rows = values.astype(">u2").view(np.uint8)
    else:
        each = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., -bits:]
        rows = np.packbits(each.reshape(height, -1), axis=1)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + after


def saved(
    pixels: np.ndarray, form: str, mode: str | None = None, orientation: int | None = None, **options: object
) -> bytes:
    """A file that Pillow writes."""
    buffer, picture = BytesIO(), Image.fromarray(pixels)
    if orientation is not None:
        options["exif"] = tags = Image.Exif()
        tags[0x0112] = orientation
    (picture.convert(mode) if mode else picture).save(buffer, form, **options)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """A ``.npy`` file."""
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
