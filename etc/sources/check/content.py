"""One file of a data set: its size, its checksum, and whether it is a complete picture of the right kind."""

import os
import struct
import zlib
from functools import reduce
from io import BytesIO
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from etc.core.errors import UserError, first_line
from etc.dataset.label_sets import IGNORE, LabelSet
from etc.dataset.manifest import checksum

# What can be wrong with a file; with any but the last two it has no pixels.
PROBLEMS = ("missing", "unreadable", "empty", "truncated", "damaged", "mode", "foreign")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
_PILLOW_MODES = {"L": "8-bit grey", "RGB": "8-bit RGB", "P": "8-bit palette", "RGBA": "8-bit RGBA", "1": "1-bit grey"}
_ORIENTATION = 0x0112


class Found(NamedTuple):
    """What one file holds: the columns from ``bytes`` on; a size of -1 and a time of 0 where it cannot be opened."""

    bytes: int
    modified: int
    checksum: str = ""
    width: int = 0
    height: int = 0
    deep: bool = False
    problem: str = ""
    detail: str = ""
    counts: list[int] | None = None


class _FlawError(Exception):
    """Its arguments are a word of ``PROBLEMS`` and the detail."""


def look(path: str, kind: str, label_set: LabelSet, deep: bool) -> Found:
    """Look at one file.

    Args:
        path: of the file.
        kind: ``image`` or ``label``.
        label_set: how labels are read.
        deep: decode the pixels.
    """
    try:
        data, modified = _read(path)
    except OSError as error:
        return unopened(error)
    if not data:
        return Found(0, modified, deep=deep, problem="empty")
    width = height = 0
    counts, problem, detail = None, "", ""
    try:
        width, height, mode = _png(data, kind) if data.startswith(_PNG) else _other(data, kind)
        if mode not in _modes(kind, label_set):
            raise _FlawError("mode", f"{mode}, not {_modes(kind, label_set)[0]}")
        if deep and kind == "image":
            _decode(data)
        elif deep:
            counts, foreign = _count(data, label_set, path)
            if foreign:
                what = "colours" if label_set.in_colours else "ids"
                raise _FlawError("foreign", f"{what} {', '.join(map(str, foreign[:5]))}{', …' * (len(foreign) > 5)}")
    except _FlawError as flaw:
        problem, detail = flaw.args
    return Found(len(data), modified, checksum(data), width, height, deep, problem, detail, counts)


def _modes(kind: str, label_set: LabelSet) -> tuple[str, ...]:
    """What pictures may be, the usual first."""
    if kind == "image":
        return "8-bit RGB", "8-bit palette"
    return ("8-bit RGB", "8-bit RGBA", "8-bit palette") if label_set.in_colours else ("8-bit grey",)


def _read(path: str) -> tuple[bytes, int]:
    with open(path, "rb") as stream:
        modified = os.fstat(stream.fileno()).st_mtime_ns
        return stream.read(), modified


def unopened(error: OSError) -> Found:
    """The result for a file that the system does not open."""
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return Found(-1, 0, problem="missing") if missing else Found(-1, 0, problem="unreadable", detail=error.strerror)


def _png(data: bytes, kind: str) -> tuple[int, int, str]:
    """Width, height and mode after all chunks were checked: decoders differ in what they let pass."""
    view, place, chunks = memoryview(data), len(_PNG), set()
    while b"IEND" not in chunks:
        end = place + 12 + int.from_bytes(view[place : place + 4])
        if end > len(data):
            raise _FlawError("truncated", f"the PNG ends within a chunk, after {len(data)} bytes")
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise _FlawError("damaged", f"wrong checksum of the PNG chunk at byte {place}")
        chunks.add(bytes(view[place + 4 : place + 8]))
        place = end
    if data[12:16] != b"IHDR" or b"IDAT" not in chunks:
        raise _FlawError("damaged", "a PNG without a picture")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    # A palette is decoded to 8 bits whatever its depth; transparency makes a fourth channel of it, and of RGB.
    mode = f"{8 if colour == 3 else bits}-bit {_PNG_MODES.get(colour, 'unknown')}"
    mode += " with alpha" * (b"tRNS" in chunks and colour in (2, 3))
    return (*(_turned(_open(data), kind) if b"eXIf" in chunks else (width, height)), mode)


def _other(data: bytes, kind: str) -> tuple[int, int, str]:
    """Width, height and mode of what is no PNG."""
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data)
        if kind == "label":
            raise _FlawError("mode", "a JPEG, which does not keep labels as they were; give PNG files")
    picture = _open(data)
    return (*_turned(picture, kind), _PILLOW_MODES.get(picture.mode, picture.mode))


def _check_jpeg(data: bytes) -> None:
    """Follow the segments to the compressed pixels; after them the end marker cannot occur by chance."""
    place, marker = 2, 0
    while marker != 0xDA:
        if len(data) < place + 4:
            raise _FlawError("truncated", f"the JPEG ends before its pixels, after {len(data)} bytes")
        if data[place] != 0xFF:
            raise _FlawError("damaged", f"no JPEG marker at byte {place}")
        marker = data[place + 1]
        # A second FF is padding; the markers 01 and D0 to D7 stand alone.
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        place += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(data[place + 2 : place + 4])
    if data.find(b"\xff\xd9", place) < 0:
        raise _FlawError("truncated", f"the JPEG has no end marker after {len(data)} bytes")


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data))
    except Exception as error:  # Pillow raises nearly anything on a damaged file.
        raise _FlawError("damaged", "not a picture") from error


def _turned(picture: Image.Image, kind: str) -> tuple[int, int]:
    """Width and height; OpenCV turns images, not labels, as their EXIF data say."""
    on_its_side = kind == "image" and picture.getexif().get(_ORIENTATION, 1) >= 5
    return picture.size[::-1] if on_its_side else picture.size


def _decode(data: bytes) -> None:
    try:
        _open(data).load()
    except _FlawError:
        raise
    except Exception as error:  # As above.
        raise _FlawError("truncated" if "truncated" in str(error) else "damaged", first_line(error)) from error


def _count(data: bytes, label_set: LabelSet, path: str) -> tuple[list[int], list]:
    """Pixels per train id, then ignored ones; and the ids or colours that the label set does not know."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _FlawError("damaged", "the pixels cannot be decoded")
    try:
        content = label_set.content(pixels, path)
    except UserError as error:
        raise _FlawError("mode", str(error).removeprefix(f"{path}: ")) from error
    flat = content.reshape(content.shape[0] * content.shape[1], -1)
    # Neighbours are mostly alike: finding where they differ takes a fraction of the time of looking every pixel up.
    differs = reduce(np.logical_or, [flat[1:, channel] != flat[:-1, channel] for channel in range(flat.shape[1])])
    starts = np.append(0, 1 + np.flatnonzero(differs))
    runs = flat[starts].reshape(-1, *content.shape[2:])
    lengths = np.diff(starts, append=len(flat))
    counts = np.bincount(label_set.encode(runs), weights=lengths, minlength=256).astype(np.int64)
    return [*counts[: label_set.count].tolist(), int(counts[IGNORE])], label_set.foreign(runs)
