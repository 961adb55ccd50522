"""Videos decoded by OpenCV's FFmpeg, frame by frame: seeking is not exact in all formats."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from etc.core.errors import UserError
from etc.core.regular import refuse_special
from etc.sources.video.mp4 import shown_seconds
from etc.sources.video.sizes import first_change, quiet
from etc.sources.video.timeline import interval

FIRST_LOOK = 256
_ALL = 1 << 31  # more frames than any video has
REPAIR = "get it whole, or convert it (ffmpeg -i IN -c:v libx264 OUT.mp4)"


@dataclass(frozen=True)
class Scan:
    """The result of one pass over a video.

    Attributes:
        times: of each frame, seconds, rising, float64 (N,), N >= 1.
        rate: frames a second: the file's own where its times agree, else computed from the times.
        shape: height and width after the rotation that the file asks for.
        timed: whether the file has usable times; otherwise they follow from its rate.
        short: seconds by which it ends before its header says, if only a little; else 0.
        square: whether its pixels are square.
    """

    times: np.ndarray
    rate: float
    shape: tuple[int, int]
    timed: bool
    short: float
    square: bool


class Reader:
    """Frames of a video, upright, in rising order.

    Args:
        path: the file.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, path: Path):
        self.path = path
        self.place = 0  # of the next frame
        self._capture = _open(path)

    def frame(self, index: int) -> np.ndarray:
        """A frame, uint8 (H, W, 3) BGR; going back opens the file again.

        Raises:
            UserError: it cannot be decoded.
        """
        if index < self.place:
            self._capture.release()
            self._capture, self.place = _open(self.path), 0
        while self.place <= index:
            if not self._capture.grab():
                raise UserError(f"{self.path}: frame {self.place} cannot be decoded; {REPAIR}")
            self.place += 1
        good, pixels = self._capture.retrieve()
        if not good or pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
            raise UserError(f"{self.path}: frame {index} is not an 8-bit colour picture; {REPAIR}")
        return pixels


class Stream:
    """Frames of a video in one pass, upright, however long it is: seconds or None, and uint8 (H, W, 3) BGR.

    Args:
        path: the file.

    Attributes:
        rate: frames a second, as the file says; 0 when it says nothing.
        count: frames, as the file says; 0 when it says nothing.
        pixel_aspect: width of a pixel by its height, in frames that are upright.

    Raises:
        UserError: it cannot be opened, or changes the size of its frames; while reading, it has no frame that can be
            decoded, or ends before its header says.
    """

    def __init__(self, path: Path):
        self.path = path
        self._capture = _open(path)
        _refuse_change(path, _ALL)
        rate, count = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # A wrong header may say anything.
        self.rate = rate if 0 < rate <= 1000 else 0.0
        self.count = int(count) if 0 < count < 1e9 else 0
        self.pixel_aspect = _pixel_aspect(self._capture)

    def __iter__(self) -> Iterator[tuple[float | None, np.ndarray]]:
        times: list[float] = []
        while self._capture.grab():
            times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            good, pixels = self._capture.retrieve()
            if not good or pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
                raise UserError(f"{self.path}: frame {len(times) - 1} is not an 8-bit colour picture; {REPAIR}")
            rising = math.isfinite(times[-1]) and times[-1] > max(times[-2:-1], default=-1.0)
            yield times[-1] if rising else None, pixels
        self._capture.release()
        if not times:
            raise UserError(f"{self.path}: the video has no frame that can be decoded; {REPAIR}")
        seconds, _ = _usable(times, self.rate)
        if seconds is not None and len(times) > 1:
            _missing(self.path, len(times), seconds[-1] + interval(seconds), self.count, self.rate)


def scan(path: Path, enough: Callable[[np.ndarray], bool] = lambda times: False) -> Scan:
    """Decode a video once, for the times of its frames.

    Args:
        path: the file.
        enough: called now and then with the times so far; True ends the pass.

    Raises:
        UserError: it cannot be opened, has no frame, changes the size of its frames, ends before its header says, or
            gives neither times nor a rate.
    """
    capture = _open(path)
    said, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    # A wrong header may say anything.
    said = said if 0 < said <= 1000 else 0.0
    times: list[float] = []
    shape = (0, 0)
    look, ended = FIRST_LOOK, True
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        if len(times) == 1:
            good, pixels = capture.retrieve()
            if not good or pixels is None:
                raise UserError(f"{path}: frame 0 cannot be decoded; {REPAIR}")
            shape = pixels.shape[:2]
        if len(times) == look:
            look *= 2
            seconds, _ = _usable(times, said)
            if seconds is not None and enough(seconds):
                ended = False
                break
    square = _pixel_aspect(capture) == 1
    capture.release()
    if not times:
        raise UserError(f"{path}: the video has no frame that can be decoded; {REPAIR}")
    _refuse_change(path, len(times))
    seconds, timed = _usable(times, said)
    if seconds is None:
        raise UserError(f"{path}: the video gives neither the times of its frames nor their rate; {REPAIR}")
    found = 1 / interval(seconds) if len(times) > 1 else said or 1.0
    rate = said if abs(said - found) <= 0.01 * found else found
    short = _missing(path, len(times), seconds[-1] + 1 / rate, count, said) if ended else 0.0
    return Scan(seconds, rate, shape, timed, short, square)


def _pixel_aspect(capture: cv2.VideoCapture) -> Fraction:
    width, height = (int(capture.get(one)) for one in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    if width <= 0 or height <= 0:
        return Fraction(1)
    lying = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90
    return Fraction(height, width) if lying else Fraction(width, height)


def _refuse_change(path: Path, frames: int) -> None:
    if change := first_change(_open(path), frames):
        before, after = (f"{width}x{height}" for width, height in (change.before, change.after))
        raise UserError(
            f"{path}: its frames change from {before} to {after} pixels at frame {change.frame}; cut it there into two "
            "videos"
        )


def _usable(times: list[float], said: float) -> tuple[np.ndarray | None, bool]:
    """Rising times, and whether they are the file's own; None when there are none."""
    stated = np.array(times)
    if np.isfinite(stated).all() and (np.diff(stated) > 0).all():
        return stated, True
    return (np.arange(len(times)) / said if said else None), False


def _missing(path: Path, frames: int, seconds: float, count: float, said: float) -> float:
    """Seconds that are missing at the end, if only a few."""
    if not said or not frames < count < 1e9:
        return 0.0
    announced = min(count / said, shown_seconds(path) or math.inf) - _begin(path)
    missing = announced - seconds
    # With a variable rate the announced number is length times rate: the time decides.
    if missing <= 2 / said:
        return 0.0
    # A header may count frames that are not shown, or the end of the sound.
    if missing > max(min(1.0, 0.1 * announced), 0.01 * announced):
        raise UserError(
            f"{path}: damaged or cut off: its last frame is {frames - 1}, at {seconds:.1f} s, but its header says "
            f"{announced:.1f} s; {REPAIR}"
        )
    return missing


def _begin(path: Path) -> float:
    """Seconds before the first frame that the length in the header counts, as Matroska's does."""
    try:
        with av.open(path.absolute()) as container:
            stream = container.streams.video[0]
            if "matroska" in container.format.name and stream.start_time is not None:
                return float(stream.start_time * stream.time_base)
    except (av.FFmpegError, IndexError):
        pass  # Whether the file is damaged is found by decoding it.
    return 0.0


def _open(path: Path) -> cv2.VideoCapture:
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        raise UserError(f"{path}: this OpenCV reads no videos; install opencv-python as in requirements.lock")
    refuse_special(path)
    with quiet():
        # Before a colon in a relative name there would be a protocol.
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise UserError(f"{path}: not a video, damaged or truncated, or in a codec that OpenCV lacks; {REPAIR}")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture
