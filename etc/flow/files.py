"""Flow made elsewhere: a folder of ``.flo`` files or KITTI PNGs, one a pair of frames.

Three layouts are understood, also mixed; the numbers are frame numbers of the manifest, with or without leading zeros:

- ``<folder>/…/<clip>/<source>_<target>.flo``, one folder a clip;
- ``<folder>/…/<clip>_<source>_<target>.flo``, as Cityscapes names its files; ``_flow`` may stand before the suffix;
- ``<folder>/…/<clip>_<source>.png`` with six and two digits, KITTI's own names: ``000000_10`` leads from frame 10 of
  clip 000000 to frame 11.

``.png`` instead of ``.flo`` means KITTI's 16-bit PNG. The file of a pair holds F_{source->target} on the source's grid.
"""

import glob
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etc.core.errors import UserError, many
from etc.core.files import os_errors_in_one_line
from etc.core.regular import file_checksum
from etc.flow.io import read_flow

SUFFIXES = (".flo", ".png")
# Stem of a file that holds the flow of one pair: ``<source>_<target>``, optionally after the clip's name.
PAIR_STEM = re.compile(r"(?:(?P<clip>.+)_)?(?P<source>\d+)_(?P<target>\d+)(?:_flow)?")
# KITTI's scene and frame; read as a pair it would lead from the scene's number to the frame's.
_KITTI_STEM = re.compile(r"(?P<clip>\d{6})_(?P<source>\d\d)")

PairFiles = Mapping[tuple[int, int], Path]


@dataclass(frozen=True)
class FlowFiles:
    """The flow files of one clip.

    Attributes:
        files: (source, target) frame numbers to the file of F_{source->target}.
        folder: where they are, for messages.
        clip: its name, for messages.
        shape: (H, W) of the clip's frames; flow of another size is refused. None takes any size.
        advice: what to do about a missing pair, for the message.
    """

    files: PairFiles
    folder: Path
    clip: str
    shape: tuple[int, int] | None = None
    advice: str = ""

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``etc.flow.store.FlowReader``.

        Returns:
            F_{source->target}, float32 (H, W, 2), pixels; unknown vectors are ``etc.flow.io.UNKNOWN`` and so leave
            every frame. Known, bool (H, W).

        Raises:
            UserError: the file is missing or damaged, holds NaN or infinite values, is of another size, or has a known
                vector longer than its frame's diagonal.
        """
        path = self._path(source, target)
        flow, known = read_flow(path)
        height, width = known.shape
        if self.shape is not None and known.shape != tuple(self.shape):
            raise UserError(
                f"{path}: {width}x{height} pixels, the frames of clip '{self.clip}' have "
                f"{self.shape[1]}x{self.shape[0]}"
            )
        # Other units than pixels, and other marks for unknown vectors, are never counted silently.
        beyond = known & (np.abs(flow).max(axis=2) > np.hypot(height, width))
        if number := np.count_nonzero(beyond):
            raise UserError(
                f"{path}: {many(number, 'vector is', 'vectors are')} longer than the diagonal of the "
                f"{width}x{height} frame (largest component {np.abs(flow[beyond]).max():.4g} px): not a flow in "
                "pixels; mark unknown vectors by 1e10 (.flo) or as not valid (PNG)"
            )
        return flow, known

    def describe(self, source: int, target: int) -> str:
        """See ``etc.flow.store.FlowReader``."""
        return str(self.files.get((source, target), self.folder))

    def checksums(self, pairs: Iterable[tuple[int, int]]) -> list[str]:
        """BLAKE2b of the files of these pairs, 32 hex digits each: what a key of stored flow needs.

        Raises:
            UserError: naming the first pair that has no file.
        """
        with os_errors_in_one_line():
            return [file_checksum(self._path(*pair)) for pair in pairs]

    def _path(self, source: int, target: int) -> Path:
        if (source, target) not in self.files:
            raise UserError(
                f"{self.folder}: no flow from frame {source} to {target} of clip '{self.clip}'{self.advice}"
            )
        return self.files[source, target]


def find_flow(folder: str | os.PathLike, clip: str, shape: tuple[int, int] | None = None) -> FlowFiles:
    """The flow files of one clip, anywhere below a folder.

    Args:
        folder: the folder.
        clip: name of the clip.
        shape: (H, W) of its frames.

    Raises:
        UserError: there is no such folder, or two files are of the same pair.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of flow files; give the one that holds <clip>/<source>_<target>.flo")
    name = glob.escape(clip)
    nested = (file for below in folder.rglob(name) if below.is_dir() for file in below.iterdir())
    files = files_by_pair({*nested, *folder.rglob(f"{name}_*")}).get(clip, {})
    advice = f"; add {clip}/<source>_<target>.flo (or .png), or lower max_offset"
    return FlowFiles(files, folder, clip, shape, advice)


def files_by_pair(
    files: Iterable[Path], clip_of: Callable[[Path], str] = lambda file: file.parent.name
) -> dict[str, PairFiles]:
    """Those of ``files`` that hold flow of a pair: clip name to (source, target), in this order, to file.

    Args:
        files: any files.
        clip_of: the clip of a file whose name gives only the pair.

    Raises:
        UserError: two files are of the same pair.
    """
    clips: defaultdict[str, dict[tuple[int, int], Path]] = defaultdict(dict)
    for file in sorted(files):
        match = _KITTI_STEM.fullmatch(file.stem) or PAIR_STEM.fullmatch(file.stem)
        if match is None or file.suffix.lower() not in SUFFIXES:
            continue
        source = int(match["source"])
        pair = source, int(match.groupdict().get("target") or source + 1)
        clip = match["clip"] or clip_of(file)
        first = clips[clip].setdefault(pair, file)
        if first != file:
            raise UserError(f"{first} and {file} are both flow of clip '{clip}', pair {pair}: remove one")
    return {clip: dict(sorted(pairs.items())) for clip, pairs in clips.items()}


def named_by_frame(clips: Mapping[str, PairFiles]) -> Path | None:
    """A file whose name seems to give a clip and one frame, though it reads as a pair; None when there is none.

    ``seq_01_0001``, ``seq_01_0002``, … would be flow from frame 1 to frames 1, 2, …: a frame leads to itself, or all
    files of a clip, three or more, lead away from one frame.
    """
    for pairs in clips.values():
        itself = [file for (source, target), file in pairs.items() if source == target]
        if itself:
            return itself[0]
        if len(pairs) > 2 and len({source for source, _ in pairs}) == 1:
            return next(iter(pairs.values()))
    return None
