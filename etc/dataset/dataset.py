"""A data set by its name: where its files are, what its frames are, and how their pictures are read."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from etc.core.errors import UserError
from etc.dataset import location, manifest, pictures
from etc.dataset.label_sets import LabelSet
from etc.dataset.manifest import Row


@dataclass(frozen=True)
class Dataset:
    """A data set whose stage ``frames`` has run. Nothing is read before it is asked for.

    A copy in another process reads its manifest again, so that sending it costs nothing.

    Attributes:
        name: of the data set.
        data: the folder of all data sets.
    """

    name: str
    data: Path = Path("data")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.data)

    @property
    def folder(self) -> Path:
        """The folder that the stages write for this data set."""
        return self.data / self.name

    @property
    def root(self) -> Path:
        """Its images and labels, or a pointer to them (see :mod:`etc.dataset.location`)."""
        return self.folder / "root"

    @property
    def manifest(self) -> Path:
        """The file that lists its frames."""
        return self.folder / "frames.parquet"

    @cached_property
    def frames(self) -> pd.DataFrame:
        """One row a frame, with the columns of :mod:`etc.dataset.manifest`; do not change it in place.

        Raises:
            UserError: the manifest is missing or wrong.
        """
        return manifest.read(self.manifest)

    @cached_property
    def label_set(self) -> LabelSet:
        """The classes, and how label files are read.

        Raises:
            UserError: the manifest is missing or holds no label set.
        """
        return manifest.read_label_set(self.manifest)

    @property
    def terms(self) -> str:
        """Whose the frames are and what may be done with them; empty where the manifest does not say.

        Raises:
            UserError: the manifest is missing.
        """
        return manifest.read_terms(self.manifest)

    def image(self, row: Row) -> np.ndarray:
        """Read the image of a row of ``frames``. Returns uint8 (H, W, 3) RGB.

        Raises:
            UserError: the file is missing, damaged, changed since the manifest was written, or not of the row's size.
        """
        path = location.locate(self.root, row["image"])
        return _decoded(path, "frame", row, row["checksum"])

    def label(self, row: Row) -> np.ndarray:
        """Read the label of a row of ``frames`` as train ids. Returns uint8 (H, W), 255 = ignore.

        Raises:
            UserError: the row has no label, or the file is missing, damaged, changed since the manifest was written,
                not of the label set's kind (ids or colours), not of the row's size, or holds an id that the label set
                does not know.
        """
        if not row["label"]:
            raise UserError(
                f"clip {row['clip']!r}, frame {row['frame']}: the frame has no label; choose an annotated one"
            )
        path = location.locate(self.root, row["label"])
        content = _decoded(path, self.label_set.kind, row, row["label_checksum"])
        foreign = self.label_set.foreign(content)
        if foreign:
            what = "colour" if self.label_set.in_colours else "id"
            raise UserError(
                f"{path}: {what} {foreign[0]} belongs to no class and is not ignored in label set "
                f"'{self.label_set.name}'; give the label file of this data set (Cityscapes: *_labelIds.png), or "
                "correct it"
            )
        return self.label_set.encode(content)


def _decoded(path: Path, kind: pictures.Kind, row: Row, expected: str) -> np.ndarray:
    """The pixels of a file whose content must have the checksum ``expected``, and whose size must be the row's."""
    data = pictures.read_bytes(path)
    if data and manifest.checksum(data) != expected:
        raise UserError(
            f"{path}: its content differs from the manifest's checksum; restore the file, or run etc frames again"
        )
    pixels = pictures.decode(data, str(path), kind)
    if pixels.shape[:2] != (row["height"], row["width"]):
        height, width = pixels.shape[:2]
        raise UserError(f"{path}: {width}x{height} pixels, the manifest says {row['width']}x{row['height']}")
    return pixels
