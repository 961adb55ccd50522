"""What ``--flow`` may be: the name of a method, an ONNX file, or a folder of flow.

A folder holds either ``<clip>.arrow`` files of this project, or ``.flo`` or KITTI ``.png`` files named like the frame
on whose grid the flow lies, in one of the layouts of ``etc.evaluation.folders``. It may hold ``forward/`` and
``backward/`` folders of such files; then what is visible is known too.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from etc.errors import UserError
from etc.evaluation.folders import ClipFolder, read_folder, some
from etc.evaluation.pictures import Frames
from etc.flow import methods
from etc.flow.estimated import EstimatedFlow
from etc.flow.files import FlowFiles
from etc.flow.providers import FlowProvider, StoredFlow

FILE_SUFFIXES = (".flo", ".png")


@dataclass(frozen=True)
class Method:
    """A flow method by name, built once in each process (networks do not travel between processes)."""

    name: str
    parameters: tuple[tuple[str, Any], ...]

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        return _built(self)(frame0, frame1)


@dataclass(frozen=True)
class FlowChoice:
    """Where the flow of all clips comes from; one of the three is set.

    Attributes:
        label: name in tables.
        method: computes it from the frames.
        shards: clip name to ``.arrow`` file.
        files: folders of forward and, perhaps, backward flow files.
    """

    label: str
    method: Method | None = None
    shards: Mapping[str, Path] | None = None
    files: tuple[ClipFolder, ClipFolder | None] | None = None

    @property
    def needs_frames(self) -> bool:
        return self.method is not None

    def check_visibility(self) -> None:
        """Raise ``UserError`` when this flow cannot tell what is visible. Shards are asked pair by pair."""
        if self.files is not None and self.files[1] is None:
            raise UserError(
                f"{self.files[0].root}: the occlusion_aware protocol needs to know what is visible: give forward/ and "
                "backward/ folders, or let the flow be estimated"
            )

    def of_clip(self, name: str, video: str, frames: Mapping[int, Path], visibility: bool, dense: bool) -> FlowProvider:
        """Flow of one clip.

        Args:
            name: clip name, as ``.arrow`` files are called.
            video: clip name by which flow files are known.
            frames: frame number to file.
            visibility: find what is visible too.
            dense: pixels without a valid vector are an error.

        Raises:
            UserError: the folder has no flow of this clip.
        """
        if self.method is not None:
            pictures = Frames(frames)
            return EstimatedFlow(pictures, self.method, visibility, self.label, pictures.describe)
        if self.shards is not None:
            path = self.shards.get(name, self.shards.get(video))
            if path is None:
                raise UserError(f"{self.label}: no flow file {name}.arrow (it has {some(self.shards)})")
            return StoredFlow(path)
        found = [None if folder is None else folder.match(video) for folder in self.files]
        if found[0] is None:
            raise UserError(f"{self.files[0].root}: no flow of clip {name} (it has {self.files[0].known()})")
        return FlowFiles(found[0], (found[1] or {}) if visibility else {}, dense)


def choose_flow(text: str, preset: str) -> FlowChoice:
    """Understand the value of ``--flow``.

    Args:
        text: name of a method, an ``.onnx`` file or a folder.
        preset: of DIS.

    Raises:
        UserError: it is none of these, or the folder holds no flow.
    """
    if text == "exact":
        raise UserError("--flow exact: exact flow is read, not computed: give the folder of its .arrow files")
    if Path(text).is_dir():
        return _folder(Path(text))
    if text.endswith(".onnx"):
        method, label = Method("onnx", (("path", text),)), text
    elif text == "dis":
        method, label = Method("dis", (("preset", preset),)), f"dis ({preset})"
    else:
        method, label = Method(text, ()), text
    try:
        _built(method)
    except UserError as error:
        raise UserError(f"--flow {text}: no such folder, and {error}") from error
    return FlowChoice(label, method)


def _folder(root: Path) -> FlowChoice:
    shards = {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.arrow"))}
    if shards:
        return FlowChoice(str(root), shards=shards)
    backward = None
    if (root / "forward").is_dir():
        if (root / "backward").is_dir():
            backward = _flow_files(root / "backward")
        root = root / "forward"
    return FlowChoice(str(root), files=(_flow_files(root), backward))


def _flow_files(root: Path) -> ClipFolder:
    folder = read_folder(root, FILE_SUFFIXES)
    if folder.strays:
        raise UserError(folder.strays[0])
    return folder


@functools.lru_cache(maxsize=1)
def _built(method: Method) -> methods.FlowMethod:
    return methods.build(method.name, **dict(method.parameters))
