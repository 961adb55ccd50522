"""Where ``etc predict`` takes frames from: a video, a folder, a camera or a data set, one frame after another."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from etc.core.errors import UserError
from etc.dataset import location, manifest, pictures
from etc.dataset.dataset import Dataset
from etc.sources.folder.layouts import FRAME_SUFFIXES, VSPW_FRAMES, detected_step, one_step, read_folder
from etc.sources.video.reading import Stream
from etc.sources.video.sizes import quiet

SPLITS = (*manifest.SPLITS, "all")
_CAMERA = re.compile(r"\d{1,3}")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_NAME = re.compile(r"[A-Za-z]\w*")


class Frame(NamedTuple):
    """One frame.

    Attributes:
        clip: its name; frames of a clip follow each other.
        number: in its clip, rising.
        image: uint8 (H, W, 3) RGB.
        follows: whether the frame before is the one before it in time, so that the two can be compared.
        seconds: since the beginning of the video; None where the source does not say.
    """

    clip: str
    number: int
    image: np.ndarray
    follows: bool
    seconds: float | None = None


@dataclass(frozen=True)
class FrameStream:
    """Frames, decoded when they are asked for.

    Attributes:
        frames: in order; can be taken once.
        clips: names of all clips; folders of these names hold what is written.
        count: how many frames, as far as it is known.
        rate: frames a second; None where the source does not say it.
        inputs: files and folders that are read.
        pixel_aspect: width of a pixel by its height.
    """

    frames: Iterable[Frame]
    clips: tuple[str, ...]
    count: int | None
    rate: float | None
    inputs: tuple[Path, ...]
    pixel_aspect: Fraction = Fraction(1)


def open_frames(source: str, split: str | None = None) -> FrameStream:
    """Find out what a source is, and open it.

    Args:
        source: name of a data set that has been made, path of a video or folder, or number of a camera.
        split: of a data set: train, dev, test or all; None: test.

    Raises:
        UserError: it is none of them, a split is given for another source than a data set, or it cannot be read; while
            its frames are taken, one of them cannot be read.
    """
    path = Path(source)
    if is_data_set(source):
        return _data_set(source, split or "test")
    if split is not None:
        raise UserError(f"--split {split}: {source} is no data set; leave it out")
    if path.is_dir():
        return _folder(path)
    if path.exists():
        video = Stream(path)
        name = _clip_name(path.absolute().stem)
        frames = _of_video(video, name)
        return FrameStream(frames, (name,), video.count or None, video.rate or None, (path,), video.pixel_aspect)
    if _CAMERA.fullmatch(source):
        return _camera(int(source))
    raise UserError(
        f"{source}: no such video, folder of frames or camera, nor a data set that has been made (`etc frames NAME`)"
    )


def is_data_set(source: str) -> bool:
    """Whether a source is the name of a data set that has been made; a folder of that name is meant by ``./NAME``."""
    return bool(_NAME.fullmatch(source)) and Dataset(source).manifest.is_file()


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of ``HEIGHTxWIDTH``, pixels, 32 to 8192 each.

    Raises:
        UserError: it is something else.
    """
    found = _SIZE.fullmatch(text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(32 <= side <= 8192 for side in size):
        raise UserError(f"--size {text}: give HEIGHTxWIDTH in pixels, 32 to 8192 each, e.g. 360x640")
    return size


def resized(frames: Iterable[Frame], size: tuple[int, int] | None) -> Iterator[Frame]:
    """The frames with ``size`` (height and width); None leaves them as they are."""
    for frame in frames:
        if size is not None and frame.image.shape[:2] != size:
            smaller = size[0] < frame.image.shape[0]
            way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            frame = frame._replace(image=cv2.resize(frame.image, size[::-1], interpolation=way))
        yield frame


def _clip_name(text: str) -> str:
    """A name that leads nowhere and hides nothing as that of a folder."""
    return text.lstrip(".") or "frames"


def _of_video(video: Stream, name: str) -> Iterator[Frame]:
    for number, (seconds, pixels) in enumerate(video):
        yield Frame(name, number, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number > 0, seconds)


def _camera(index: int) -> FrameStream:
    with quiet():
        capture = cv2.VideoCapture(index)
    name = f"camera{index}"
    if not capture.isOpened():
        raise UserError(f"camera {index}: cannot be opened; give another number, or a video or folder")
    rate = capture.get(cv2.CAP_PROP_FPS)

    def frames() -> Iterator[Frame]:
        number = 0
        while True:
            good, pixels = capture.read()
            if not good and not number:
                raise UserError(
                    f"camera {index}: opens, but gives no picture; give another number, or a video or folder"
                )
            if not good:
                return
            yield Frame(name, number, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number > 0)
            number += 1

    return FrameStream(frames(), (name,), None, rate if 0 < rate <= 1000 else None, ())


def _folder(root: Path) -> FrameStream:
    folder = read_folder(root, FRAME_SUFFIXES, vspw=VSPW_FRAMES)
    own = _clip_name(root.resolve().name)
    if folder.strays:
        raise UserError(folder.strays[0])

    def frames() -> Iterator[Frame]:
        for name, files in folder.clips.items():
            step, before = detected_step(files), None
            for number, path in files.items():
                follows = before is not None and step is not None and one_step(before, number, step)
                yield Frame(name or own, number, pictures.read(path, "frame"), follows)
                before = number

    clips = tuple(name or own for name in folder.clips)
    return FrameStream(frames(), clips, sum(map(len, folder.clips.values())), None, (root,))


def chosen_frames(data: Dataset, split: str, labelled: bool = False) -> pd.DataFrame:
    """The rows of one split of a data set, or of all.

    Args:
        data: the data set.
        split: train, dev, test or all.
        labelled: only frames that have a label.

    Raises:
        UserError: there is no such split, or no such frame in it.
    """
    if split not in SPLITS:
        raise UserError(f"--split {split}: choose one of {', '.join(SPLITS)}")
    frames = data.frames
    chosen = frames[((frames["split"] == split) | (split == "all")) & (frames["label"].ne("") | (not labelled))]
    if chosen.empty:
        raise UserError(f"{data.manifest}: no such frame in split '{split}'; choose another split")
    return chosen


def _data_set(name: str, split: str) -> FrameStream:
    data = Dataset(name)
    chosen = chosen_frames(data, split)

    def frames() -> Iterator[Frame]:
        clip = None
        for row in chosen.to_dict("records"):
            yield Frame(row["clip"], row["frame"], data.image(row), row["clip"] == clip)
            clip = row["clip"]

    places = (data.folder, location.external(data.root))
    return FrameStream(frames(), tuple(chosen["clip"].unique()), len(chosen), None, tuple(filter(None, places)))
