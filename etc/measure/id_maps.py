"""Reading what ``etc tc`` compares: pictures of class ids, frames, class probabilities."""

import math
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image

from etc.core.errors import UserError, first_line
from etc.dataset.label_sets import CITYSCAPES, IGNORE
from etc.sources.folder.layouts import Files, cityscapes_kind

_LARGEST_LABEL_ID = 33


@dataclass(frozen=True)
class IdPictures:
    """The pictures of class ids of one clip, read when they are asked for.

    Attributes:
        files: frame number to file: 8-bit grey or palette PNG.
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
        path = self.files[frame]
        ids = read_ids(path)
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
            raise UserError(
                f"{path}: id {strange[-1]}, but there are {self.classes} classes ({first} to {end - 1}; "
                f"ignored: {ignored}){self._guess(strange)}"
            )
        if not first and set(self.ignore) <= {IGNORE}:
            return ids
        table = np.full(256, IGNORE, np.uint8)
        table[first:end] = np.arange(self.classes)[: 256 - first]
        table[list(self.ignore)] = IGNORE
        return cv2.LUT(ids, table)

    def describe(self, frame: int) -> str:
        """Name of a frame in messages: its file."""
        return str(self.files[frame])

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
    """The frames of one clip, read when they are asked for: frame number to file."""

    files: Files

    def __call__(self, frame: int) -> np.ndarray:
        """A frame, uint8 (H, W, 3) RGB.

        Raises:
            UserError: the file is missing or damaged.
        """
        return np.asarray(_open(self.files[frame]).convert("RGB"))

    def describe(self, frame: int) -> str:
        """Name of a frame in messages: its file."""
        return str(self.files[frame])


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
        content = read_array(path)
        if content.ndim != 3 or content.dtype not in (np.float16, np.float32):
            raise UserError(
                f"{path}: probabilities are float16 or float32 (C, H, W), this is {content.dtype} {content.shape}"
            )
        if self.classes not in (None, len(content)):
            raise UserError(f"{path}: probabilities of {len(content)} classes, but there are {self.classes}")
        total = content.sum(axis=0, dtype=np.float32)
        # NaN fails every comparison.
        if not (content.min() >= 0 and np.abs(total - 1).max() < 0.02):
            raise UserError(f"{path}: its values are not probabilities (each pixel's must sum to 1): apply the softmax")
        return content


def read_array(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file, or of a ``.npz`` file that holds one.

    Raises:
        UserError: the file is missing, damaged, shorter or longer than its shape says, or holds several arrays.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a regular file")
        with path.open("rb") as stream:
            if stream.read(2) != b"PK":
                stream.seek(0)
                return _read_npy(stream, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise UserError(f"{path}: holds {len(members)} arrays; one (C, H, W) is expected")
            with archive.open(members[0]) as stream:
                return _read_npy(stream, members[0].file_size)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except MemoryError as error:
        raise UserError(f"{path}: too large for the memory") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: not a readable NumPy file ({first_line(error)})") from error


def _read_npy(stream: IO[bytes], size: int) -> np.ndarray:
    """An array whose header fits the size of its file in bytes: memory is asked for only then."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, by_columns, dtype = read(stream)
    except Exception as error:  # its parser is Python's
        raise ValueError(f"damaged header: {first_line(error)}") from error
    expected = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or stream.tell() + expected != size:
        raise ValueError(f"{dtype} {shape} needs {expected} bytes, it has {size - stream.tell()}")
    values = np.frombuffer(stream.read(expected), dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def read_ids(path: Path) -> np.ndarray:
    """Ids of a grey or palette PNG as they stand in the file, uint8 (H, W).

    Raises:
        UserError: the file is missing, damaged, or a colour or 16-bit picture.
    """
    picture = _open(path)
    if picture.mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr"):
        raise UserError(
            f"{path}: a colour picture ({picture.mode}), not class ids: write the ids as an 8-bit grey PNG, "
            "not their colours"
        )
    if picture.mode not in ("L", "P"):
        raise UserError(f"{path}: not an 8-bit picture of class ids (its mode is {picture.mode})")
    return np.asarray(picture)


def largest_id(path: Path, ignore: Sequence[int]) -> int:
    """The largest id in a picture that is not ignored; -1 if every id is."""
    present = _count_ids(read_ids(path)) > 0
    present[list(ignore)] = False
    return int(np.flatnonzero(present)[-1]) if present.any() else -1


def looks_like_label_ids(largest: int, classes: int = CITYSCAPES.count) -> bool:
    """Whether ids up to ``largest`` look like Cityscapes label ids where train ids are wanted."""
    return classes == CITYSCAPES.count and CITYSCAPES.count <= largest <= _LARGEST_LABEL_ID


def _count_ids(ids: np.ndarray) -> np.ndarray:
    return cv2.calcHist([ids], [0], None, [256], [0, 256]).ravel()


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(path)
            picture.load()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not a readable picture ({first_line(error)})") from error
    return picture
