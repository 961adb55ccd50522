"""Reading what ``etc tc`` compares: pictures of class ids, frames, class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from etc.core.errors import UserError, first_line, many
from etc.dataset import arrays, pictures
from etc.dataset.label_sets import CITYSCAPES, IGNORE
from etc.measure.id_video import IdVideo
from etc.sources.folder.layouts import FRAME_SUFFIXES, ID_SUFFIXES, ClipFolder, Files, cityscapes_kind
from etc.sources.video.reading import Reader, scan

_LARGEST_LABEL_ID = 33


@dataclass(frozen=True)
class StoredIds:
    """The ids of one clip as they are stored, read when they are asked for. Can be pickled before that.

    Attributes:
        files: frame number to file, as :mod:`etc.dataset.pictures` reads ids; all may be one video.
    """

    files: Files

    def __call__(self, frame: int) -> np.ndarray:
        """Ids of a frame, uint8 (H, W).

        Raises:
            UserError: the file is missing, damaged, or not of ids.
        """
        path = self.files[frame]
        return pictures.read(path, "ids") if path.suffix.lower() in ID_SUFFIXES else self._video(frame)

    def describe(self, frame: int) -> str:
        """Name of a frame in messages."""
        return _described(self.files[frame], frame, ID_SUFFIXES)

    def largest(self, frame: int, ignore: Sequence[int]) -> int:
        """The largest id of a frame that is not ignored; -1 when there is none."""
        present = _count_ids(self(frame)) > 0
        present[list(ignore)] = False
        return int(np.flatnonzero(present)[-1]) if present.any() else -1

    @cached_property
    def _video(self) -> IdVideo:
        return IdVideo(next(iter(self.files.values())))


@dataclass(frozen=True)
class IdPictures:
    """The class ids of one clip, read when they are asked for.

    Attributes:
        files: see :class:`StoredIds`.
        classes: C.
        ignore: ids that are not counted.
        convert: take files named ``*_labelIds`` for Cityscapes label ids and make train ids of them (for truth, whose
            names say what it is; predictions are never converted).
        offset: the files hold the class plus this number, and ids below it mean void.
    """

    files: Files
    classes: int
    ignore: Sequence[int] = (IGNORE,)
    convert: bool = False
    offset: int = 0

    def __call__(self, frame: int) -> np.ndarray:
        """Ids of a frame, uint8 (H, W), 0..C-1; 255 stands for every ignored id.

        Raises:
            UserError: the file is missing, damaged, not a picture of ids, or an id is neither a class nor ignored.
        """
        path, ids = self.files[frame], self._stored(frame)
        if self.convert and cityscapes_kind(path).endswith("labelIds"):
            return self._converted(path, ids)
        counts = _count_ids(ids)
        first, end = self.offset, self.offset + self.classes
        allowed = np.zeros(256, bool)
        allowed[:end] = True
        allowed[list(self.ignore)] = True
        strange = np.flatnonzero((counts > 0) & ~allowed)
        if strange.size:
            ignored = ", ".join(map(str, sorted(self.ignore)))
            are = "is" if self.classes == 1 else "are"
            raise UserError(
                f"{self.describe(frame)}: id {strange[-1]}, but there {are} {many(self.classes, 'class', 'classes')} "
                f"({first} to {end - 1}; ignored: {ignored}){self._guess(strange)}"
            )
        if not first and set(self.ignore) <= {IGNORE}:
            return ids
        table = np.full(256, IGNORE, np.uint8)
        table[first:end] = np.arange(self.classes)[: 256 - first]
        table[list(self.ignore)] = IGNORE
        return cv2.LUT(ids, table)

    def describe(self, frame: int) -> str:
        """Name of a frame in messages."""
        return self._stored.describe(frame)

    @cached_property
    def _stored(self) -> StoredIds:
        return StoredIds(self.files)

    def _converted(self, path: Path, ids: np.ndarray) -> np.ndarray:
        if self.classes != CITYSCAPES.count:
            raise UserError(
                f"{path}: Cityscapes label ids stand for {CITYSCAPES.count} classes, not {self.classes}: "
                "give --label-set cityscapes, or label pictures with the ids of the predictions"
            )
        if self.offset:
            raise UserError(
                f"{path}: the name says Cityscapes label ids, which have no offset: leave out --label-offset"
            )
        return CITYSCAPES.encode(ids)

    def _guess(self, strange: np.ndarray) -> str:
        if looks_like_label_ids(int(strange[-1]), self.classes):
            return ": it looks like Cityscapes label ids; convert it to train ids"
        if self.convert and strange.tolist() == [self.classes]:
            return ": if labels are the class plus 1, with 0 for void, give --label-offset 1"
        return ": give --classes and --ignore that fit"


@dataclass(frozen=True)
class Frames:
    """The frames of one clip, read when they are asked for: frame number to file.

    All may be one file, a video; it is decoded once if its frames are asked for in order, two of them in memory. Can be
    pickled before that.
    """

    files: Files

    def __call__(self, frame: int) -> np.ndarray:
        """A frame, uint8 (H, W, 3) RGB.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self.files[frame]
        if path.suffix.lower() in FRAME_SUFFIXES:
            return pictures.read(path, "frame")
        if frame not in self._recent:
            held = [(number, image) for number, image in self._recent.items() if number == frame - 1]
            decoded = cv2.cvtColor(self._video.frame(frame), cv2.COLOR_BGR2RGB)
            self._recent.clear()
            self._recent.update([*held, (frame, decoded)])
        return self._recent[frame]

    def describe(self, frame: int) -> str:
        """Name of a frame in messages."""
        return _described(self.files[frame], frame, FRAME_SUFFIXES)

    @cached_property
    def _video(self) -> Reader:
        return Reader(next(iter(self.files.values())))

    @cached_property
    def _recent(self) -> dict[int, np.ndarray]:
        return {}


def of_video(path: Path) -> ClipFolder:
    """The frames of a video, numbered from 0, as those of a folder with one clip, which has the video's name.

    Raises:
        UserError: the video cannot be read to its end.
    """
    count = len(scan(path).times)
    return ClipFolder(path, {path.stem: dict.fromkeys(range(count), path)}, False, ())


@dataclass(frozen=True)
class Probabilities:
    """The class probabilities of one clip: frame number to ``.npy`` or ``.npz`` (one array) of (C, H, W).

    ``classes`` is C if known; None if all that is known is that it exceeds every id.
    """

    files: Files
    classes: int | None = None

    def __call__(self, frame: int) -> np.ndarray:
        """Probabilities, float16 or float32 (C, H, W), each pixel summing to 1.

        Raises:
            UserError: the file is missing or damaged, or its values are not probabilities.
        """
        if frame not in self.files:
            folder = next((path.parent for path in self.files.values()), "the folder of probabilities")
            raise UserError(f"{folder}: no probabilities of frame {frame}")
        path = self.files[frame]
        data = pictures.read_bytes(path, arrays.MOST_BYTES)
        try:
            content = arrays.load(data) if path.suffix.lower() == ".npy" else arrays.load_archive(data)
        except (ValueError, MemoryError) as error:
            raise UserError(f"{path}: not a readable NumPy file ({first_line(error)})") from error
        if content.ndim != 3 or content.dtype not in (np.float16, np.float32):
            raise UserError(
                f"{path}: probabilities are float16 or float32 (C, H, W), this is {content.dtype} {content.shape}"
            )
        if self.classes not in (None, len(content)):
            raise UserError(
                f"{path}: probabilities of {many(len(content), 'class', 'classes')}, but there are {self.classes}"
            )
        total = content.sum(axis=0, dtype=np.float32)
        # NaN fails every comparison.
        if not (content.min() >= 0 and np.abs(total - 1).max() < 0.02):
            raise UserError(f"{path}: its values are not probabilities (each pixel's must sum to 1): apply the softmax")
        return content


def looks_like_label_ids(largest: int, classes: int = CITYSCAPES.count) -> bool:
    """Whether ids up to ``largest`` look like Cityscapes label ids where train ids are wanted."""
    return classes == CITYSCAPES.count and CITYSCAPES.count <= largest <= _LARGEST_LABEL_ID


def _described(path: Path, frame: int, suffixes: Sequence[str]) -> str:
    """The file of a frame; of a video, with the frame's number."""
    return str(path) if path.suffix.lower() in suffixes else f"{path}, frame {frame}"


def _count_ids(ids: np.ndarray) -> np.ndarray:
    return cv2.calcHist([ids], [0], None, [256], [0, 256]).ravel()
