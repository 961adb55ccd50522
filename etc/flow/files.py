"""Flow of one clip from ``.flo`` files or KITTI PNG files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etc.errors import UserError
from etc.flow.io import beyond_frame, read_flo, read_kitti_png
from etc.flow.visibility import forward_backward_visible

# Longer than any frame: a warp takes it as out of frame.
_OUT_OF_FRAME = np.float32(1e6)


@dataclass(frozen=True)
class FlowFiles:
    """Flow files of one clip.

    Attributes:
        files: (source, target) frame numbers to the file of F_{source->target}.
        folder: where they are, for messages.
        visibility: also read F_{target->source}, with which the forward-backward check tells what is visible.
        dense: every pixel is counted, so a pixel without a valid vector is an error and not left out.
    """

    files: Mapping[tuple[int, int], Path]
    folder: Path
    visibility: bool = False
    dense: bool = False

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``etc.flow.providers.FlowProvider``. Pixels that a KITTI file calls invalid lead out of the frame.

        Raises:
            UserError: a file is missing, damaged, or has values that cannot be a motion inside its frame.
        """
        flow = self._load(source, target)
        if not self.visibility:
            return flow, None
        backward = self._load(target, source)
        if backward.shape != flow.shape:
            raise UserError(
                f"{self.files[target, source]}: {backward.shape[1]}x{backward.shape[0]} pixels, the flow the other way "
                f"has {flow.shape[1]}x{flow.shape[0]}"
            )
        return flow, forward_backward_visible(flow, backward)

    def describe(self, source: int, target: int) -> str:
        return str(self.files.get((source, target), self.folder))

    def _load(self, source: int, target: int) -> np.ndarray:
        path = self.files.get((source, target))
        if path is None:
            raise UserError(f"{self.folder}: no flow from frame {source} to {target}")
        if path.suffix.lower() == ".flo":
            flow = read_flo(path)
            _check_length(path, flow)
            return flow
        flow, valid = read_kitti_png(path)
        _check_length(path, flow)
        if self.dense and not valid.all():
            raise UserError(
                f"{path}: {np.count_nonzero(~valid)} pixels have no valid vector, and this protocol counts every pixel"
            )
        flow[~valid] = _OUT_OF_FRAME
        return flow


def _check_length(path: Path, flow: np.ndarray) -> None:
    """Other units than pixels, or marks for unknown vectors, are never counted silently."""
    height, width = flow.shape[:2]
    if number := np.count_nonzero(beyond_frame(flow)):
        raise UserError(
            f"{path}: {number} vectors are longer than the {width}x{height} frame's diagonal (largest component "
            f"{np.abs(flow).max():.4g} px): not a flow in pixels, or marks for unknown motion; write a KITTI PNG with "
            "a valid mask"
        )
