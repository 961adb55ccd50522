"""Where ``etc predict`` writes pictures: one after another into a video or a folder, complete or not at all."""

import contextlib
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.core.outputs import check_files, check_folder, together
from etc.measure.id_video import id_frames
from etc.prediction.sources import Frame, FrameStream

IDS = ".mkv"  # a video of ids
# The encoder and its options. For the eye, what browsers play, fast and close to lossless; for ids, each picture alone,
# with checksums that a decoder compares.
CODES = {
    ".mp4": ("libx264", {"preset": "veryfast", "crf": "18"}),
    ".webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b:v": "0"}),
    IDS: ("ffv1", {"level": "3", "slicecrc": "1", "g": "1"}),
}
FOR_THE_EYE = " or ".join(one for one in CODES if one != IDS)
_TICKS = 90_000  # a second has, in the times of frames
_OTHER = (".avi", ".mov", ".m4v", ".gif")
# Where the source says no rate.
USUAL_RATE = 25.0


class Output(Protocol):
    """Takes the pictures of the frames, in order."""

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        """Add a picture.

        Args:
            frame: what it shows.
            picture: uint8 (H, W, 3) RGB, or (H, W) ids.

        Raises:
            UserError: it cannot be written.
        """


@contextlib.contextmanager
def opened(to: Path | None, frames: FrameStream, inputs: Sequence[Path], force: bool) -> Iterator[Output]:
    """An output that appears under its name when the block ends; on an error nothing of it stays.

    Args:
        to: a name that ends in .mp4 or .webm, in .mkv for ids, a folder, or None: nothing is written.
        frames: what will be written.
        inputs: what is read.
        force: replace a video that exists, or the pictures that such a command made of these clips.

    Raises:
        UserError: a file is in the way, it lies in an input, or no such video can be written here.
    """
    if to is None:
        yield _Nothing()
    elif is_video(to):
        if to.suffix.lower() == IDS and len(frames.clips) > 1:
            raise UserError(f"{to}: a video of ids holds one clip, and there are {len(frames.clips)}; write a folder")
        with _video(to, frames, inputs, force) as output:
            yield output
    elif to.suffix.lower() in _OTHER and not to.is_dir():
        raise UserError(f"{to}: videos are written as {FOR_THE_EYE}, of ids as {IDS}; choose such a name, or a folder")
    else:
        # Which frames there will be is not known before a video ends, but their folders are.
        there = {path for clip in frames.clips for path in (to / clip).glob("*.png")}
        if there and not force:
            raise UserError(f"{min(there).parent}: holds pictures; replace them with --force, or choose another folder")
        names = {path.relative_to(to).as_posix() for path in there} | {f"{clip}/{0:06d}.png" for clip in frames.clips}
        check_folder(to, names, inputs)
        folder = _Folder(to)
        with together(to):
            yield folder
        for path in there - folder.written:
            path.unlink()


def is_video(to: Path) -> bool:
    """Whether a video is written under this name."""
    return to.suffix.lower() in CODES and not to.is_dir()


class _Nothing:
    def write(self, frame: Frame, picture: np.ndarray) -> None:
        pass


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root
        self.written: set[Path] = set()

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        pixels = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        path = self._root / frame.clip / f"{frame.number:06d}.png"
        with atomic(path, durable=False) as stream:
            stream.write(cv2.imencode(".png", pixels)[1].tobytes())
        self.written.add(path)


@contextlib.contextmanager
def _video(to: Path, frames: FrameStream, inputs: Iterable[Path], force: bool) -> Iterator[Output]:
    if to.exists() and not force:
        raise UserError(f"{to}: exists; replace it with --force, or give another name")
    check_files([(to, lambda path: True)], inputs)
    made = [one for one in to.absolute().parents if not one.exists()]
    to.parent.mkdir(parents=True, exist_ok=True)
    video = _Video(to.absolute(), frames.rate or USUAL_RATE, frames.pixel_aspect)
    try:
        yield video
        video.finish()
    except BaseException as error:
        video.discard()
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()
        if isinstance(error, OSError) and error.filename == str(video.temporary):
            raise OSError(error.errno, error.strerror, str(to)) from error
        raise


class _Video:
    """A video under a temporary name beside its own, encoded by PyAV."""

    def __init__(self, path: Path, rate: float, pixel_aspect: Fraction) -> None:
        self._path, self._rate, self._pixel_aspect = path, rate, pixel_aspect
        self.temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix.lower()}")
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._size, self._last = (0, 0), -1
        self._checksums: list[int] = []  # of ids

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        if self._container is None:
            self._size = (height, width)
            self._open(width, height)
        if (height, width) != self._size:
            raise UserError(
                f"{self._path}: a picture of {width}x{height} pixels after those of {self._size[1]}x{self._size[0]}; "
                "give all frames one size with --size, or write a folder"
            )
        if picture.ndim == 2 and frame.number != len(self._checksums):
            raise UserError(
                f"{self._path}: clip {frame.clip} has frame {frame.number} in place {len(self._checksums)}, and a "
                "video of ids counts its frames from 0 without gaps; write a folder, which keeps their numbers"
            )
        shown = self._frame(picture)
        place = self._last + round(_TICKS / self._rate) if self._last >= 0 else 0
        if frame.seconds is not None and round(frame.seconds * _TICKS) > self._last:
            place = round(frame.seconds * _TICKS)
        shown.pts, shown.time_base, self._last = place, Fraction(1, _TICKS), place
        try:
            packets = self._stream.encode(shown)  # the first call opens the encoder
        except av.FFmpegError as error:
            encoder = CODES[self._path.suffix.lower()][0]
            raise UserError(
                f"{self._path}: {encoder} cannot write pictures of {width}x{height} pixels "
                f"({error.strerror}); give a smaller --size, or write a folder"
            ) from error
        self._container.mux(packets)

    def finish(self) -> None:
        """Give the video its name; one of ids only when every frame is read back as it was written."""
        if self._container is None:
            raise UserError(f"{self._path}: there is no frame to write")
        self._container.mux(self._stream.encode())
        self._container.close()
        if self._checksums and [zlib.crc32(ids.tobytes()) for ids in id_frames(self.temporary)] != self._checksums:
            raise UserError(f"{self._path}: ids are not read back as they were written; write a folder")
        os.replace(self.temporary, self._path)

    def discard(self) -> None:
        """Remove what has no name yet."""
        if self._container is not None:
            with contextlib.suppress(av.FFmpegError):
                self._container.close()
        self.temporary.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        av.logging.set_level(None)
        suffix = self._path.suffix.lower()
        code, options = CODES[suffix]
        # The index at the beginning: browsers then play while they load.
        first = {"movflags": "+faststart"} if suffix == ".mp4" else {}
        self._container = av.open(self.temporary, "w", options=first)
        self._stream = self._container.add_stream(code, Fraction(self._rate).limit_denominator(1001), options)
        # Both sides of a video for the eye are even.
        even = suffix != IDS
        self._stream.width, self._stream.height = width + even * (width % 2), height + even * (height % 2)
        self._stream.pix_fmt = "yuv420p" if even else "gray"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream.codec_context.sample_aspect_ratio = self._pixel_aspect

    def _frame(self, picture: np.ndarray) -> av.VideoFrame:
        if picture.ndim == 2:
            self._checksums.append(zlib.crc32(picture.tobytes()))
            return av.VideoFrame.from_ndarray(picture, format="gray")
        height, width = picture.shape[:2]
        pixels = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        return av.VideoFrame.from_ndarray(pixels, format="rgb24")
