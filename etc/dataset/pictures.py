"""The one reader of frames and the one of class ids; docs/datasets.md lists what they accept, convert and refuse.

OpenCV decodes PNG and JPEG, Pillow the other formats of frames. Both let damage pass, so the container is checked
first: every chunk of a PNG, the segments of a JPEG.
"""

import os
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from etc.core.errors import UserError, first_line
from etc.core.regular import open_regular
from etc.dataset import arrays

Kind = Literal["frame", "ids", "colours"]

# More is not decoded: a small file may ask for any amount of memory.
MOST_PIXELS = 100_000_000
MOST_BYTES = 1 << 30

# What can be wrong with a file; one with any but the last three has no pixels.
Problem = Literal["missing", "unreadable", "empty", "truncated", "damaged", "large", "mode", "foreign"]

_PLAIN = {"missing": "no such file", "empty": "the file is empty"}
_AGAIN = "; get or make it again"

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_BITS, _COLOUR = 24, 25  # where a PNG has its bit depth and its colour type
_GREY, _PALETTE = 0, 3
_PNG_COLOURS = {_GREY: "grey", 2: "RGB", _PALETTE: "palette", 4: "grey with alpha", 6: "RGBA"}
_ORIENTATION = 0x0112
# Markers of JPEG frames: SOF0 to SOF15 without those of tables and extensions.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_OTHERS = ("TIFF", "BMP", "WEBP")
_BITS_PER_SAMPLE = 258
_PILLOW_MODES = {
    "1": "1-bit grey",
    "L": "8-bit grey",
    "LA": "8-bit grey with alpha",
    "P": "8-bit palette",
    "PA": "8-bit palette with alpha",
    "RGB": "8-bit RGB",
    "RGBA": "8-bit RGBA",
    "RGBX": "8-bit RGB",
}


class PictureError(UserError):
    """A file that cannot be read as what it should be.

    Attributes:
        problem: what is wrong.
        detail: the message without the file's name and the remedy; empty where the word says all.
    """

    def __init__(self, name: str, problem: Problem, detail: str = "", remedy: str = _AGAIN):
        self.problem, self.detail = problem, detail
        super().__init__(f"{name}: {detail or _PLAIN[problem]}{remedy}")


class Header(NamedTuple):
    """What a file says of itself before its pixels are decoded.

    Attributes:
        form: PNG, JPEG, NPY, TIFF, BMP or WEBP.
        width, height: as stored.
        mode: in words, such as ``8-bit RGB``.
        turned: whether it may have an EXIF orientation.
        chunks: of a PNG: type, first byte and the one after the last.
    """

    form: str
    width: int
    height: int
    mode: str
    turned: bool = False
    chunks: tuple[tuple[bytes, int, int], ...] = ()


def read(path: str | os.PathLike, kind: Kind) -> np.ndarray:
    """Read a picture.

    Args:
        path: the file.
        kind: ``frame``; ``ids``, a picture of class ids; ``colours``, a label whose colours are classes.

    Returns:
        uint8 (H, W, 3) RGB, upright, for frames and colours; uint8 (H, W) for ids.

    Raises:
        PictureError: the file is missing, damaged, too large, or not of this kind.
    """
    return decode(read_bytes(path), str(path), kind)


def read_bytes(path: str | os.PathLike, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        PictureError: it is missing, cannot be opened, is a device or pipe, or larger.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > most:
                raise PictureError(str(path), "large", f"{size:,} bytes, above the limit of {most:,}", "")
            return stream.read()
    except OSError as error:
        raise unopened(str(path), error) from error


def unopened(name: str, error: OSError) -> PictureError:
    """The error for a file that the system does not open."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return PictureError(name, "missing")
    return PictureError(name, "unreadable", error.strerror or first_line(error), "; make it readable or replace it")


def decode(data: bytes, name: str, kind: Kind) -> np.ndarray:
    """As :func:`read`, from the bytes of a file called ``name`` in messages."""
    header = check(data, name, kind)
    try:
        with warnings.catch_warnings(action="ignore"):
            return _ids(data, name, header) if kind == "ids" else _rgb(data, header)
    except MemoryError as error:
        raise PictureError(name, "large", f"{_size(header)} pixels do not fit into the memory", "") from error
    except UserError:
        raise
    except Exception as error:  # Decoders raise nearly anything on a damaged file.
        problem = "truncated" if "truncated" in str(error) else "damaged"
        raise PictureError(name, problem, f"not a readable picture ({first_line(error)})") from error


def check(data: bytes, name: str, kind: Kind) -> Header:
    """Check a file without decoding its pixels: the container, the size, and whether it is of this kind.

    Raises:
        PictureError: it is not.
    """
    fail = partial(PictureError, name)
    if not data:
        raise fail("empty")
    with warnings.catch_warnings(action="ignore"):
        header = _header(data, fail)
    if header.width < 1 or header.height < 1:
        raise fail("damaged", f"a picture of {_size(header)} pixels")
    if header.width * header.height > MOST_PIXELS:
        raise fail("large", f"{_size(header)} pixels, above the limit of {MOST_PIXELS:,}", "; make it smaller")
    if refusal := {"frame": _no_frame, "ids": _no_ids, "colours": _no_colours}[kind](header):
        raise fail("mode", *refusal)
    if kind != "frame" and header.turned and _orientation(data, header) != 1:
        raise fail("mode", "a label with an EXIF orientation", "; turn the pixels and remove the tag")
    return header


def upright_size(data: bytes, header: Header) -> tuple[int, int]:
    """Width and height after the EXIF orientation, which is applied to frames."""
    on_its_side = header.turned and _orientation(data, header) >= 5
    return (header.height, header.width) if on_its_side else (header.width, header.height)


def _no_frame(header: Header) -> tuple[str, ...]:
    """Why this is no frame, and what to do; empty for a frame."""
    if header.form == "NPY":
        return "a NumPy array, not a frame", "; give a picture"
    bits, _, colours = header.mode.partition("-bit ")
    if bits in ("1", "2", "4", "8") and colours.startswith(("grey", "palette", "RGB")):
        return ()
    return f"{header.mode}, not 8-bit RGB", "; convert it to 8-bit RGB"


def _no_ids(header: Header) -> tuple[str, ...]:
    remedy = "; write the ids as an 8-bit grey PNG"
    if header.form == "NPY":
        return () if header.mode == "ids" else (f"an array of {header.mode}, not integer ids (H, W)", remedy)
    if header.form == "JPEG":
        return "a JPEG, which does not keep labels as they were", "; give PNG files"
    if header.form != "PNG":
        return f"{header.form}, not PNG", remedy
    if header.mode.endswith(("grey", "palette")):
        return ()
    return f"{header.mode}, a colour picture, not class ids", remedy


def _no_colours(header: Header) -> tuple[str, ...]:
    if header.form == "PNG" and header.mode.startswith("8-bit") and "grey" not in header.mode:
        return ()
    return f"{header.mode} {header.form}, not 8-bit RGB PNG", "; this label set is in colours: give RGB PNG files"


def _rgb(data: bytes, header: Header) -> np.ndarray:
    if header.form in _OTHERS:
        picture = Image.open(BytesIO(data), formats=_OTHERS)
        # Only EXIF turns a picture; OpenCV knows no other orientation.
        picture.info.pop("xmp", None)
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    if header.form == "PNG":
        data = _stripped(data, header, b"IHDR", b"PLTE", b"eXIf")
    return _decoded(data, cv2.IMREAD_COLOR_RGB)


def _ids(data: bytes, name: str, header: Header) -> np.ndarray:
    if header.form == "NPY":
        ids = arrays.load(data)
    else:
        # Palettes would be expanded to colours: their indices are decoded as greys.
        ids = _decoded(_stripped(data, header, _as_grey(data)), cv2.IMREAD_ANYDEPTH)
        if data[_BITS] < 8:
            # Greys of few bits are stretched over 0..255.
            ids //= 255 // (2 ** data[_BITS] - 1)
        if data[_COLOUR] == _PALETTE:
            _check_palette(ids, data, header, name)
    if ids.dtype == np.uint8:
        return ids
    if ids.min() < 0 or ids.max() > 255:
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise PictureError(name, "mode", f"id {wrong}, but ids are 0 to 255", "; correct it")
    return ids.astype(np.uint8)


def _decoded(data: bytes, mode: int) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise
    if pixels is None:
        raise ValueError("the pixels cannot be decoded")
    return pixels


def _stripped(data: bytes, header: Header, *kept: bytes) -> bytes:
    """A PNG of the pixels and the chunks of the types ``kept`` alone: nothing else may change or hinder decoding.

    A chunk may be given itself, in place of its type.
    """
    whole = [one for one in kept if len(one) > 4]
    chunks = [data[first:end] for kind, first, end in header.chunks if kind in (*kept, b"IDAT", b"IEND")]
    return b"".join([_PNG, *whole, *chunks])


def _as_grey(data: bytes) -> bytes:
    """The header chunk of a PNG with the colour type grey."""
    content = b"IHDR" + data[16:_COLOUR] + bytes([_GREY]) + data[_COLOUR + 1 : 29]
    return data[8:12] + content + zlib.crc32(content).to_bytes(4)


def _check_palette(ids: np.ndarray, data: bytes, header: Header, name: str) -> None:
    """Refuse a palette of greys that are not their indices: a program that makes PNGs smaller writes such files, and
    then the greys are the ids.
    """
    palette = next(data[first + 8 : end - 4] for kind, first, end in header.chunks if kind == b"PLTE")
    entries = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    if ids.max() >= len(entries):
        raise PictureError(name, "damaged", f"index {ids.max()}, but the palette has {len(entries)} entries")
    if not (entries == entries[:, :1]).all():
        return
    used = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    differ = used[entries[used, 0] != used]
    if differ.size:
        raise PictureError(
            name,
            "mode",
            f"a palette of greys, whose index {differ[0]} is grey {entries[differ[0], 0]}: either may be the id",
            "; write the ids as an 8-bit grey PNG",
        )


def _header(data: bytes, fail: Callable[..., PictureError]) -> Header:
    if data.startswith(_PNG):
        return _png_header(data, fail)
    if data.startswith(_JPEG):
        return _jpeg_header(data, fail)
    if data.startswith(arrays.MAGIC):
        try:
            array = arrays.header(data)
        except ValueError as error:
            raise fail("damaged", f"not a readable NumPy file ({first_line(error)})") from error
        is_ids = array.dtype.kind in "iu" and len(array.shape) == 2
        height, width = array.shape if is_ids else (1, 1)
        return Header("NPY", width, height, "ids" if is_ids else f"{array.dtype} {array.shape}")
    try:
        picture = Image.open(BytesIO(data), formats=_OTHERS)
        count = getattr(picture, "n_frames", 1)
        bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
    except Image.DecompressionBombError as error:
        raise fail("large", f"above the limit of {MOST_PIXELS:,} pixels", "; make it smaller") from error
    except Exception as error:  # As in decode.
        raise fail("damaged", "not a readable picture (PNG, JPEG, TIFF, BMP or WebP)") from error
    if count > 1:
        raise fail("mode", f"{count} pictures in one file", "; give a file for each frame")
    deepest = max(bits) if isinstance(bits, tuple) else bits
    mode = f"{deepest}-bit {picture.mode}" if deepest > 8 else _PILLOW_MODES.get(picture.mode, picture.mode)
    # Pillow turns the size of a TIFF itself.
    return Header(picture.format or "", *picture.size, mode, turned=picture.format == "WEBP")


def _png_header(data: bytes, fail: Callable[..., PictureError]) -> Header:
    """The header of a PNG after its chunks were checked; what follows the last one does not matter."""
    view, place = memoryview(data), len(_PNG)
    chunks: list[tuple[bytes, int, int]] = []
    while not chunks or chunks[-1][0] != b"IEND":
        end = place + 12 + int.from_bytes(view[place : place + 4])
        if end > len(data):
            raise fail("truncated", f"the PNG ends within a chunk, after {len(data)} bytes")
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise fail("damaged", f"wrong checksum of the PNG chunk at byte {place}")
        chunks.append((bytes(view[place + 4 : place + 8]), place, end))
        place = end
    length = {kind: end - first - 12 for kind, first, end in chunks}
    if data[8:16] != b"\0\0\0\rIHDR" or b"IDAT" not in length:
        raise fail("damaged", "a PNG without a picture")
    if b"acTL" in length:
        raise fail("mode", "an animated PNG", "; give a file for each frame")
    width, height = (int.from_bytes(data[start : start + 4]) for start in (16, 20))
    bits, colour = data[_BITS], data[_COLOUR]
    if colour == _PALETTE and (not length.get(b"PLTE") or length[b"PLTE"] % 3):
        raise fail("damaged", "a palette PNG without a whole palette")
    # A palette is decoded to 8 bits whatever its depth.
    mode = f"{8 if colour == _PALETTE else bits}-bit {_PNG_COLOURS.get(colour, 'unknown')}"
    return Header("PNG", width, height, mode, b"eXIf" in length, tuple(chunks))


def _jpeg_header(data: bytes, fail: Callable[..., PictureError]) -> Header:
    """Follow the segments to the compressed pixels; after them the end marker cannot occur by chance."""
    place, marker, frame, turned = 2, 0, None, False
    while marker != 0xDA:
        if len(data) < place + 4:
            raise fail("truncated", f"the JPEG ends before its pixels, after {len(data)} bytes")
        if data[place] != 0xFF:
            raise fail("damaged", f"no JPEG marker at byte {place}")
        marker = data[place + 1]
        if marker in _SOF and frame is None:
            frame = data[place + 4 : place + 10]
        turned |= marker == 0xE1 and data[place + 4 : place + 8] == b"Exif"
        # A second FF is padding; the markers 01 and D0 to D7 stand alone.
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        place += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(data[place + 2 : place + 4])
    if data.find(b"\xff\xd9", place) < 0:
        raise fail("truncated", f"the JPEG has no end marker after {len(data)} bytes")
    if frame is None or len(frame) < 6:
        raise fail("damaged", "a JPEG without a picture")
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    mode = f"{frame[0]}-bit {({1: 'grey', 3: 'RGB', 4: 'CMYK'}).get(frame[5], 'unknown')}"
    return Header("JPEG", width, height, mode, turned)


def _orientation(data: bytes, header: Header) -> int:
    """The EXIF orientation; ``Image.getexif`` would fall back on that of XMP."""
    exif = Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"):
            if header.form == "PNG":
                exif.load(next(data[first + 8 : end - 4] for kind, first, end in header.chunks if kind == b"eXIf"))
            else:
                exif.load(Image.open(BytesIO(data)).info.get("exif", b""))
            return exif.get(_ORIENTATION, 1)
    except Exception:  # As in decode; OpenCV ignores EXIF data that it cannot read.
        return 1


def _size(header: Header) -> str:
    return f"{header.width}x{header.height}"
