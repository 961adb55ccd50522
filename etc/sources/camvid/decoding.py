"""Frames of a video at given numbers."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from etc.core.errors import UserError, many


class ShortVideoError(UserError):
    """The video ends before the last number that was asked for. All frames before the end have been given."""


def frames_at(path: str | os.PathLike, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode a video from its beginning, so that frame n is the n-th decoded one, whatever its time stamps say.

    Seeking would be faster, but lands on another frame in many files.

    Args:
        path: any video that OpenCV's FFmpeg can decode.
        numbers: of the frames, from 0, in any order.

    Yields:
        number and frame, uint8 (H, W, 3) RGB, by rising number, each once.

    Raises:
        UserError: there is no such file, it is not a video, or a number is negative.
        ShortVideoError: it ends, or cannot be decoded further, before a number.
    """
    path, wanted = Path(path), sorted(set(numbers))
    if not path.is_file():
        raise UserError(f"{path}: no such video; correct the path")
    if wanted and wanted[0] < 0:
        raise UserError(f"{path}: frame {wanted[0]} is asked for, but frames are counted from 0; correct the number")
    # Named, since another backend may take the name for a pattern of pictures.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise UserError(f"{path}: not a video that can be read; get the file again, or convert it")
        decoded = 0
        for number in wanted:
            while decoded <= number:
                if not capture.grab():
                    raise ShortVideoError(
                        f"{path}: ends, or cannot be decoded further, after {many(decoded, 'frame')}, but frame "
                        f"{number} is wanted; get the whole file"
                    )
                decoded += 1
            read, frame = capture.retrieve()
            if not read or frame is None:
                raise UserError(f"{path}: frame {number} cannot be decoded; get the file again")
            yield number, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()
