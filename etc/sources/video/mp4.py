"""The length of an MP4 or MOV file as it is shown: an edit list may hide frames at its beginning or its end.

``ffmpeg -c copy`` writes such lists, as it can cut at key frames only. The boxes are those of ISO/IEC 14496-12.
"""

from collections.abc import Iterator
from pathlib import Path

_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_LARGEST = 1 << 28  # bytes of moov, some 30 hours of video


def shown_seconds(path: Path) -> float | None:
    """Seconds that the first video track with an edit list is shown; None where there is none."""
    try:
        moov = _moov(path)
        timescale = _number(_first(moov, b"mvhd"), 12, 20, 4)
        for kind, track in _boxes(moov):
            if kind == b"trak" and _first(_first(track, b"mdia"), b"hdlr")[8:12] == b"vide" and _first(track, b"edts"):
                return _number(_first(track, b"tkhd"), 20, 28, 8) / timescale
    except (OSError, IndexError, ZeroDivisionError):
        pass  # Whether the file is damaged is found by decoding it.
    return None


def _moov(path: Path) -> bytes:
    """The content of the box that describes the file; empty where there is none."""
    with open(path, "rb") as stream:
        place, end = 0, path.stat().st_size
        while place + 8 <= end:
            stream.seek(place)
            size, kind = int.from_bytes(stream.read(4)), stream.read(4)
            head = 8
            if size == 1:
                size, head = int.from_bytes(stream.read(8)), 16
            if kind == b"moov":
                return stream.read(size - head) if head < size < _LARGEST else b""
            if size < head or (place == 0 and kind not in _FIRST):
                return b""
            place += size
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4])
        if size < 8:
            return
        yield content[place + 4 : place + 8], content[place + 8 : place + size]
        place += size


def _first(content: bytes, wanted: bytes) -> bytes:
    return next((inside for kind, inside in _boxes(content) if kind == wanted), b"")


def _number(content: bytes, short: int, long: int, width: int) -> int:
    """A number at ``short`` in a box of version 0; at ``long``, and of ``width`` bytes, in one of version 1."""
    start, length = (long, width) if content[0] == 1 else (short, 4)
    return int.from_bytes(content[start : start + length])
