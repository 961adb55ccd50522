"""Decoded frames and labels on disk: a PNG is decoded as a whole, each time anew, an array read only where it is used.

Sizes, times, and what compressed files would cost: docs/decisions/loading.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etc.core.errors import UserError, first_line
from etc.core.files import atomic
from etc.core.regular import refuse_special


@dataclass(frozen=True)
class Kept:
    """Reads a picture from a folder; the first time from its source, and keeps it there as a ``.npy`` file.

    Several processes may do so at once: each writes a whole file under the same name.

    Attributes:
        folder: of all kept pictures.
        key: hexadecimal hash of all that the picture is made of.
        read: reads it from its source, uint8 (H, W) or (H, W, 3).
    """

    folder: Path
    key: str
    read: Callable[[], np.ndarray]

    def __call__(self) -> np.ndarray:
        """The picture, mapped into memory: a part of it is read from the disk when it is looked at.

        Raises:
            UserError: it cannot be read from its source or kept, or the kept file is damaged.
        """
        path = self.folder / self.key[:2] / f"{self.key}.npy"
        if not path.exists():
            pixels = self.read()
            with atomic(path) as stream:
                np.save(stream, pixels)
        try:
            refuse_special(path)
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: damaged ({first_line(error)}): delete it, and it is made again") from error
