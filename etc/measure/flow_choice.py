"""What ``--flow`` may be: the name of a method, an ONNX file, or a folder of flow.

A folder holds one of

- ``<clip>.arrow`` files of this project;
- ``.flo`` or KITTI ``.png`` files named by their pair, ``<clip>/<source>_<target>`` or ``<clip>_<source>_<target>``;
- such files named by the frame on whose grid they lie, in a layout of ``sources.folder.layouts``; they lead one step
  on. With ``forward/`` and ``backward/`` folders of them, what is visible is known too.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from etc.core.errors import UserError
from etc.flow import methods
from etc.flow.estimated import EstimatedFlow
from etc.flow.files import FlowFiles, ShardFlow
from etc.flow.io import PAIR_STEM
from etc.flow.providers import FlowProvider
from etc.measure.id_maps import Frames
from etc.measure.pairing import ClipPlan
from etc.sources.clip_names import first_names
from etc.sources.folder.layouts import ClipFolder, read_folder, visible_files

FILE_SUFFIXES = (".flo", ".png")

Pairs = Mapping[tuple[int, int], Path]

# {city}_{sequence}_{frame} looks like a pair, but names one frame.
_ONE_FRAME = re.compile(r"[A-Za-z][A-Za-z-]*(?:_\d\d)?_\d{6}_\d{6}(?:_[A-Za-z]\w*)?")


@dataclass(frozen=True)
class Method:
    """A flow method by name, built once in each process (networks do not travel between processes)."""

    name: str
    parameters: tuple[tuple[str, Any], ...]

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        return _built(self)(frame0, frame1)


@dataclass(frozen=True)
class FlowChoice:
    """Where the flow of all clips comes from; one of ``method``, ``shards``, ``pairs`` and ``forward`` is set.

    Attributes:
        label: name in tables.
        method: computes it from the frames.
        shards: clip name to ``.arrow`` file.
        pairs: clip name to files named by their pair.
        forward: files named by their frame.
        backward: the same for the flow back; may be missing.
    """

    label: str
    method: Method | None = None
    shards: Mapping[str, Path] | None = None
    pairs: Mapping[str, Pairs] | None = None
    forward: ClipFolder | None = None
    backward: ClipFolder | None = None

    def check_visibility(self) -> None:
        """Raise ``UserError`` when this flow cannot tell what is visible; other kinds are asked pair by pair."""
        if self.forward and not self.backward:
            raise UserError(
                f"{self.forward.root}: the occlusion_aware protocol needs to know what is visible: give forward/ and "
                "backward/ folders, or let the flow be estimated"
            )

    def of_clip(self, plan: ClipPlan, visibility: bool, dense: bool) -> FlowProvider:
        """Flow of one clip.

        Args:
            plan: the clip.
            visibility: find what is visible too.
            dense: pixels without a valid vector are an error.

        Raises:
            UserError: the folder has no flow of this clip.
        """
        if self.method is not None:
            frames = Frames(plan.frames)
            return EstimatedFlow(frames, self.method, visibility, self.label, frames.describe)
        if self.shards is not None:
            return ShardFlow(self._known(self.shards, plan), visibility, dense)
        if self.pairs is not None:
            files = self._known(self.pairs, plan)
            return FlowFiles(files, next(iter(files.values())).parent, visibility, dense)
        forward = self.forward.match(plan.video)
        if forward is None:
            raise UserError(f"{self.label}: no flow of clip {plan.name} (it has {self.forward.known()})")
        backward = (self.backward.match(plan.video) if self.backward else None) or {}
        files = {(source, target): forward[source] for source, target in plan.pairs if source in forward}
        files |= {(target, source): backward[target] for source, target in plan.pairs if target in backward}
        return FlowFiles(files, next(iter(forward.values())).parent, visibility, dense)

    def _known(self, clips: Mapping[str, Any], plan: ClipPlan) -> Any:
        found = clips.get(plan.name, clips.get(plan.video))
        if found is None:
            raise UserError(f"{self.label}: no flow of clip {plan.name} (it has {first_names(clips)})")
        return found


def choose_flow(text: str, preset: str, options: Sequence[str] = ()) -> FlowChoice:
    """Understand the value of ``--flow``.

    Args:
        text: name of a method, an ``.onnx`` file or a folder.
        preset: of DIS.
        options: parameters of the method, each ``name=value`` with the value in YAML, e.g. ``weights=raft.pth`` or
            ``value_range=0..1``; see ``etc.flow.methods``.

    Raises:
        UserError: it is none of these, the folder holds no flow, or an option does not fit.
    """
    if Path(text).is_dir():
        if options:
            raise UserError(f"--flow-option {options[0]}: {text} is a folder, where no flow is computed; leave it out")
        return _folder(Path(text))
    if text == "exact":
        raise UserError("--flow exact: exact flow is read, not computed: give the folder of its .arrow files")
    given = dict(map(_option, options))
    label = ", ".join([text, *options])
    if text.endswith(".onnx"):
        method = Method("onnx", (("path", text), *given.items()))
    elif text == "dis":
        given = {"preset": preset, **given}
        method, label = Method("dis", tuple(given.items())), f"dis ({given['preset']})"
    else:
        method = Method(text, tuple(given.items()))
    try:
        _built(method)
    except UserError as error:
        where = "" if method.name in methods.METHODS else "no such folder, and "
        raise UserError(f"--flow {text}: {where}{error}") from error
    return FlowChoice(label, method)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--flow-option {text}: the value is not readable as YAML; quote it") from error
    if not (name and equals and value) or isinstance(found, dict):
        raise UserError(f"--flow-option {text}: give name=value, e.g. weights=raft.pth")
    # A method must be hashable.
    return name, tuple(found) if isinstance(found, list) else found


def _folder(root: Path) -> FlowChoice:
    present = sorted(visible_files(root))
    shards = {path.relative_to(root).with_suffix("").as_posix(): path for path in present if path.suffix == ".arrow"}
    if shards:
        return FlowChoice(str(root), shards=shards)
    files = [path for path in present if path.suffix.lower() in FILE_SUFFIXES]
    if files and all(PAIR_STEM.fullmatch(path.stem) and not _ONE_FRAME.fullmatch(path.stem) for path in files):
        return FlowChoice(str(root), pairs=_by_pair(root, files))
    if (root / "forward").is_dir():
        backward = root / "backward"
        return FlowChoice(
            str(root),
            forward=_by_frame(root / "forward"),
            backward=_by_frame(backward) if backward.is_dir() else None,
        )
    return FlowChoice(str(root), forward=_by_frame(root))


def _by_pair(root: Path, files: list[Path]) -> Mapping[str, Pairs]:
    clips: defaultdict[str, dict[tuple[int, int], Path]] = defaultdict(dict)
    for path in files:
        found = PAIR_STEM.fullmatch(path.stem)
        clip = found["clip"] or path.parent.relative_to(root).as_posix()
        first = clips[clip].setdefault((int(found["source"]), int(found["target"])), path)
        if first != path:
            raise UserError(f"{path}: the same clip and pair as {first}; keep one of them")
    return clips


def _by_frame(root: Path) -> ClipFolder:
    folder = read_folder(root, FILE_SUFFIXES)
    if folder.strays:
        raise UserError(folder.strays[0])
    return folder


@functools.lru_cache(maxsize=1)
def _built(method: Method) -> methods.FlowMethod:
    return methods.build(method.name, **dict(method.parameters))
