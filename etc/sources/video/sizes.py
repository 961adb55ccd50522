"""Whether the frames of a video change their size.

OpenCV stretches later frames to the size of the first ones without a word, but it hands out the compressed packets.
Those of key frames say their size: in the header of a VP8, VP9 or JPEG frame, or in parameter sets, which FFmpeg reads
when it is given the packet alone. Codecs whose packets do not say it (MPEG-4 in MP4, ProRes, AV1) are not checked.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import cv2

from etc.dataset import pictures

Size = tuple[int, int]  # width, height

# Parameter sets of H.264, HEVC, MPEG-2 and MPEG-4, up to the next start code.
_PARAMETERS = re.compile(
    rb"\x00\x00\x01(?:[\x07\x27\x47\x67]|\x42\x01|\xb3|[\x20-\x2f]).*?(?=\x00\x00\x01|$)", re.DOTALL
)
_SYNC_VP8, _SYNC_VP9 = b"\x9d\x01\x2a", 0x498342


class Change(NamedTuple):
    """Place of the first frame of another size, in the order of decoding, the size before and its own."""

    frame: int
    before: Size
    after: Size


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep OpenCV's and FFmpeg's own lines about a video that cannot be opened from standing beside our message."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging = cv2.utils.logging
    before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)


def first_change(capture: cv2.VideoCapture, frames: int) -> Change | None:
    """The first change of size among the first frames.

    Args:
        capture: a video that has just been opened.
        frames: how many.
    """
    before = None
    for frame, size in _sizes(capture, frames):
        if before is not None and size != before:
            return Change(frame, before, size)
        before = size
    return None


def _sizes(capture: cv2.VideoCapture, frames: int) -> Iterator[tuple[int, Size]]:
    if not capture.set(cv2.CAP_PROP_FORMAT, -1):  # packets in place of pictures
        return
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").upper()
    known: dict[bytes, Size] = {}
    for frame in range(frames):
        if not capture.grab():
            return
        if not capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
            continue
        packet = capture.retrieve()[1].tobytes()
        found = _PARAMETERS.search(packet)
        parameters = found[0] if found else b""
        size = known.get(parameters) if parameters else None
        size = size or _size(packet, codec)
        if size is None:
            return
        known[parameters] = size
        yield frame, size


def _size(packet: bytes, codec: bytes) -> Size | None:
    if codec == b"VP80":
        return _vp8(packet)
    if codec == b"VP90":
        return _vp9(packet)
    if packet.startswith(b"\xff\xd8"):
        try:
            return pictures.check(packet, "", "frame")[1:3]
        except pictures.PictureError:
            return None
    with quiet():
        alone = cv2.VideoCapture(io.BytesIO(packet), cv2.CAP_FFMPEG, [])
    size = tuple(int(alone.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    return size if alone.isOpened() and min(size) > 0 else None


def _vp8(packet: bytes) -> Size | None:
    """RFC 6386, section 9.1."""
    if packet[3:6] != _SYNC_VP8:
        return None
    width, height = (int.from_bytes(packet[start : start + 2], "little") & 0x3FFF for start in (6, 8))
    return width, height


def _vp9(packet: bytes) -> Size | None:
    """VP9 bitstream specification, section 6.2: the uncompressed header of a key frame."""
    bits = f"{int.from_bytes(packet[:16]):0128b}"
    profile = int(bits[3] + bits[2], 2)
    place = 8 + (profile == 3)
    if int(bits[place : place + 24], 2) != _SYNC_VP9:
        return None
    place += 24 + (profile >= 2)
    rgb = bits[place : place + 3] == "111"
    odd = profile % 2
    place += 3 + (odd if rgb else 1 + 3 * odd)
    width, height = (1 + int(bits[start : start + 16], 2) for start in (place, place + 16))
    return width, height
