"""Flow of one clip that others made: ``.flo`` files, KITTI PNG files, or such files packed by ``etc flow import``."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etc.core.errors import UserError
from etc.flow.io import beyond_frame, read_flo, read_kitti_png
from etc.flow.store import FlowReader
from etc.flow.visibility import forward_backward_visible

# Name of the method in files of ``etc flow import``.
IMPORTED = "import"

# Longer than any frame: a warp takes it as out of frame.
_OUT_OF_FRAME = np.float32(1e6)


class _Foreign(ABC):
    """What all of it has in common: it is checked, unknown vectors lead out of the frame, the way back may be needed.

    Attributes:
        visibility: also read F_{target->source}, with which the forward-backward check tells what is visible.
        dense: every pixel is counted, so a pixel without a valid vector is an error and not left out.
    """

    visibility: bool
    dense: bool

    @abstractmethod
    def describe(self, source: int, target: int) -> str:
        """See ``etc.flow.providers.FlowProvider``."""

    @abstractmethod
    def _load(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """F_{source->target} and where it is known, bool (H, W); None = everywhere."""

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``etc.flow.providers.FlowProvider``. Pixels without a known vector lead out of the frame.

        Raises:
            UserError: flow is missing, damaged, or has values that cannot be a motion inside its frame.
        """
        flow = self._checked(source, target)
        if not self.visibility:
            return flow, None
        backward = self._checked(target, source)
        if backward.shape != flow.shape:
            raise UserError(
                f"{self.describe(target, source)}: {backward.shape[1]}x{backward.shape[0]} pixels, the flow the other "
                f"way has {flow.shape[1]}x{flow.shape[0]}"
            )
        return flow, forward_backward_visible(flow, backward)

    def _checked(self, source: int, target: int) -> np.ndarray:
        flow, known = self._load(source, target)
        where = self.describe(source, target)
        unknown = np.zeros(flow.shape[:2], bool) if known is None else ~known
        _check_length(where, flow, unknown)
        if self.dense and unknown.any():
            raise UserError(
                f"{where}: {np.count_nonzero(unknown)} pixels have no valid vector, and this protocol counts every "
                "pixel"
            )
        flow[unknown] = _OUT_OF_FRAME
        return flow


@dataclass(frozen=True)
class FlowFiles(_Foreign):
    """Flow files of one clip.

    Attributes:
        files: (source, target) frame numbers to the file of F_{source->target}.
        folder: where they are, for messages.
        visibility, dense: see above.
    """

    files: Mapping[tuple[int, int], Path]
    folder: Path
    visibility: bool = False
    dense: bool = False

    def describe(self, source: int, target: int) -> str:
        return str(self.files.get((source, target), self.folder))

    def _load(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        path = self.files.get((source, target))
        if path is None:
            raise UserError(f"{self.folder}: no flow from frame {source} to {target}")
        if path.suffix.lower() == ".flo":
            return read_flo(path), None
        return read_kitti_png(path)


class ShardFlow(_Foreign):
    """A ``.arrow`` file of one clip, opened at the first pair. Can be pickled.

    Files of the stage ``flow`` are taken as they are, with the visibility that they hold. In files of ``etc flow
    import`` the mask says where flow is known, not what is visible; they are treated as the files they were made of.


    Args:
        path: the file, ``<clip>.arrow``.
        visibility, dense: see above.
    """

    def __init__(self, path: str | os.PathLike, visibility: bool = False, dense: bool = False):
        self.path, self.visibility, self.dense = path, visibility, dense
        self._reader: FlowReader | None = None

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``etc.flow.providers.FlowProvider``.

        Raises:
            UserError: the file is missing, damaged or of another version, or, as above, what it holds is of no use.
        """
        if self._reader is None:
            self._reader = FlowReader(self.path)
        return super().read(source, target) if self._reader.method == IMPORTED else self._reader.read(source, target)

    def describe(self, source: int, target: int) -> str:
        return os.fspath(self.path)

    def _load(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        return self._reader.read(source, target)


def _check_length(where: str, flow: np.ndarray, unknown: np.ndarray) -> None:
    """Other units than pixels, or marks for unknown vectors, are never counted silently."""
    height, width = flow.shape[:2]
    beyond = beyond_frame(flow) & ~unknown
    if number := np.count_nonzero(beyond):
        raise UserError(
            f"{where}: {number} vectors are longer than the {width}x{height} frame's diagonal (largest component "
            f"{np.abs(flow[beyond]).max():.4g} px): not a flow in pixels, or marks for unknown motion; write a KITTI "
            "PNG with a valid mask"
        )
