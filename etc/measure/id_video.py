"""Class ids in a video that keeps them exactly, such as ``etc predict --form ids --to OUT.mkv`` writes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from etc.core.errors import UserError
from etc.core.regular import refuse_special
from etc.sources.folder.layouts import ClipFolder, check_names

_WRITE = "write ids as FFV1 (ffmpeg -i IN -c:v ffv1 -pix_fmt gray OUT.mkv, from what they were before), or as PNG files"
_AGAIN = "get or make it again"


class IdVideo:
    """Frames of a video of ids by their number, from 0; fastest in rising order. Can be pickled before the first one.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frames: Iterator[np.ndarray] | None = None
        self._next = 0

    def __call__(self, index: int) -> np.ndarray:
        """Ids of a frame, uint8 (H, W).

        Raises:
            UserError: see :func:`id_frames`, or there is no such frame.
        """
        if self._frames is None or index < self._next:
            self._frames, self._next = id_frames(self.path), 0
        for ids in self._frames:
            self._next += 1
            if self._next > index:
                return ids
        raise UserError(f"{self.path}: has {self._next} frames, and frame {index} is asked for; {_AGAIN}")


def id_frames(path: Path) -> Iterator[np.ndarray]:
    """The ids of each frame, uint8 (H, W), as stored: a rotation that the file asks for is not applied.

    Raises:
        UserError: it is no video, in a codec that may lose something, not grey with 8 bits, damaged or cut off.
    """
    refuse_special(path)
    av.logging.set_level(None)
    try:
        # Before a colon in a relative name there would be a protocol.
        with av.open(path.absolute()) as container:
            if not container.streams.video:
                raise UserError(f"{path}: not a video; give a folder of ids, or a video of them")
            stream = container.streams.video[0]
            _check(path, stream)
            # Threads would report damage late.
            stream.thread_type = "NONE"
            end = 0.0
            for number, frame in enumerate(_decoded(path, container, stream)):
                yield frame.to_ndarray()
                length = frame.duration * frame.time_base or 1 / (stream.average_rate or 1)
                end = float((number * length if frame.time is None else frame.time) + length)
            if not end:
                raise UserError(f"{path}: the video has no frame that can be decoded; {_AGAIN}")
            announced = (container.duration or 0) / av.time_base
            if announced - end > length / 2:
                raise UserError(
                    f"{path}: cut off: it ends after {number + 1} frames, at {end:.2f} s, but its header says "
                    f"{announced:.2f} s; {_AGAIN}"
                )
    except av.FFmpegError as error:
        raise UserError(f"{path}: not a video, damaged or cut off ({error.strerror}); {_AGAIN}") from error


def id_video(path: Path) -> ClipFolder:
    """A video of ids as a folder with one clip of the video's name, whose frames have the numbers 0, 1, ...

    Raises:
        UserError: see :func:`id_frames`; the video is decoded once.
    """
    check_names([path])
    count = sum(1 for _ in id_frames(path))
    return ClipFolder(path, {path.stem: dict.fromkeys(range(count), path)}, False, ())


def _check(path: Path, stream: av.VideoStream) -> None:
    """Raise ``UserError`` unless ids come out of this stream as they went in."""
    codec, form = stream.codec_context.codec, stream.codec_context.pix_fmt
    if codec.lossy or not codec.lossless:
        raise UserError(f"{path}: {codec.name} may change ids; {_WRITE}")
    if form is None:
        raise UserError(f"{path}: {codec.name} without a picture, damaged or cut off; {_AGAIN}")
    if form != "gray":
        raise UserError(f"{path}: {codec.name} with the pixels {form}, which may have changed ids, not gray; {_WRITE}")


def _decoded(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames; of most damage a decoder only says so, and goes on with the picture before."""
    for packet in container.demux(stream):
        with _lines_of_decoder() as lines:
            frames = packet.decode()
        if lines:
            raise UserError(f"{path}: damaged ({lines[0][2].strip()}); {_AGAIN}")
        yield from frames


@contextlib.contextmanager
def _lines_of_decoder() -> Iterator[list[tuple[int, str, str]]]:
    av.logging.set_level(av.logging.ERROR)
    # Else the repetition of a line would come with the next video.
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(None)
