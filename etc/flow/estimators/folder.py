"""Flow computed by others, as a folder of ``.flo`` files or KITTI PNGs.

Two layouts are understood, also mixed; the numbers are frame numbers of the manifest, with or without leading zeros:

- ``<folder>/…/<clip>/<source>_<target>.flo``, one folder a clip;
- ``<folder>/…/<clip>_<source>_<target>.flo``, as Cityscapes names its files; ``_flow`` may stand before the suffix.

``.png`` instead of ``.flo`` means KITTI's 16-bit PNG. The file of a pair holds F_{source->target} on the source's grid.
"""

import glob
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from etc.core.errors import UserError
from etc.flow.io import PAIR_STEM, beyond_frame, read_flow

_SUFFIXES = (".flo", ".png")


class FolderFlow:
    """A folder of flow files; it estimates nothing.

    Args:
        path: the folder.

    Raises:
        UserError: there is no such folder.
    """

    name = "folder"
    version = "1"

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_dir():
            raise UserError(
                f"{path}: no such folder of flow files; give the one that holds <clip>/<source>_<target>.flo"
            )
        # The folder is no parameter: what counts is the content, see ``ClipFolder.checksums``.
        self.parameters: dict[str, Any] = {}

    def clip(self, clip: str, shape: tuple[int, int] | None = None) -> "ClipFolder":
        """The flow files of one clip.

        Args:
            clip: its name.
            shape: (H, W) of its frames; when given, flow of another size is refused on reading.

        Raises:
            UserError: two files are of the same pair.
        """
        nested = (file for folder in self.path.rglob(glob.escape(clip)) if folder.is_dir() for file in folder.iterdir())
        files = pair_files({*nested, *self.path.rglob(f"{glob.escape(clip)}_*")}, clip)
        return ClipFolder(self.path, clip, files, shape)


def pair_files(files: Iterable[Path], clip: str) -> dict[tuple[int, int], Path]:
    """Those of ``files`` that are flow of ``clip``, by (source, target), in this order.

    Raises:
        UserError: two files are of the same pair.
    """
    found: dict[tuple[int, int], Path] = {}
    for file in sorted(files):
        match = PAIR_STEM.fullmatch(file.stem)
        if match is None or file.suffix not in _SUFFIXES or (match["clip"] or file.parent.name) != clip:
            continue
        pair = int(match["source"]), int(match["target"])
        if pair in found:
            raise UserError(f"{found[pair]} and {file} are both flow of clip '{clip}', pair {pair}: remove one")
        found[pair] = file
    return dict(sorted(found.items()))


class ClipFolder:
    """The flow files of one clip.

    Attributes:
        files: (source, target) frame numbers to path.
    """

    def __init__(
        self, folder: Path, clip: str, files: dict[tuple[int, int], Path], shape: tuple[int, int] | None = None
    ):
        self.folder, self.clip, self.files, self.shape = folder, clip, files, shape

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one pair.

        Returns:
            F_{source->target}, float32 (H, W, 2), pixels; unknown vectors are ``etc.flow.io.UNKNOWN`` and so end out
            of every frame. Known, bool (H, W).

        Raises:
            UserError: the file is missing or damaged, holds NaN or infinite values, is of another size, or has a known
                vector longer than its frame's diagonal.
        """
        path = self._file(source, target)
        flow, known = read_flow(path)
        if self.shape is not None and known.shape != tuple(self.shape):
            raise UserError(
                f"{path}: {known.shape[1]}x{known.shape[0]} pixels, the frames of clip '{self.clip}' have "
                f"{self.shape[1]}x{self.shape[0]}"
            )
        if (beyond_frame(flow) & known).any():
            height, width = known.shape
            raise UserError(
                f"{path}: a component of {np.abs(flow[known]).max():.4g} px is longer than the diagonal of its "
                f"{width}x{height} frame: not a flow in pixels; mark unknown vectors by 1e10 (.flo) or as not valid "
                "(PNG)"
            )
        return flow, known

    def checksums(self, pairs: Iterable[tuple[int, int]]) -> list[str]:
        """BLAKE2b of the files of these pairs, 32 hex digits each: what a key of stored flow needs.

        Raises:
            UserError: naming the first pair that has no file.
        """
        return [hashlib.blake2b(self._file(*pair).read_bytes(), digest_size=16).hexdigest() for pair in pairs]

    def _file(self, source: int, target: int) -> Path:
        if (source, target) not in self.files:
            raise UserError(
                f"{self.folder}: no flow of clip '{self.clip}' from frame {source} to {target}; "
                f"add {self.clip}/{source:06}_{target:06}.flo (or .png), or lower max_offset"
            )
        return self.files[source, target]
