"""What ``--flow`` may be: the name of a method, an ONNX file, or a folder of flow.

A folder holds one of

- ``<clip>.arrow`` files of this project;
- ``.flo`` or KITTI ``.png`` files named by their pair, ``<clip>/<source>_<target>`` or ``<clip>_<source>_<target>``;
- such files named by the frame on whose grid they lie, in a layout of ``sources.folder.layouts``. They lead one step on
  in their own numbering and in that of the frames, and are refused for predictions of another step. With ``forward/``
  and ``backward/`` folders of them, what is visible is known too.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from etc.core.errors import UserError
from etc.core.params_file import parse
from etc.flow import methods
from etc.flow.estimated import EstimatedFlow
from etc.flow.estimators.estimator import Estimator
from etc.flow.files import PAIR_STEM, SUFFIXES, FlowFiles, PairFiles, files_by_pair, named_by_frame
from etc.flow.store import FlowReader, StoredFlow
from etc.measure.clip_flow import ClipFlow
from etc.measure.id_maps import Frames
from etc.measure.pairing import ClipPlan
from etc.sources.clip_names import first_names
from etc.sources.folder.layouts import (
    UNNAMED,
    ClipFolder,
    Files,
    check_names,
    detected_step,
    one_step,
    read_folder,
    visible_files,
)

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
    """Where the flow of all clips comes from; one of ``method``, ``stored``, ``pairs`` and ``forward`` is set.

    Attributes:
        label: name in tables.
        method: computes it from the frames.
        stored: clip name to ``.arrow`` file.
        pairs: clip name to files named by their pair.
        forward: files named by their frame.
        backward: the same for the flow back; may be missing.
    """

    label: str
    method: Method | None = None
    stored: Mapping[str, Path] | None = None
    pairs: Mapping[str, PairFiles] | None = None
    forward: ClipFolder | None = None
    backward: ClipFolder | None = None

    def check_visibility(self) -> None:
        """Raise ``UserError`` when this flow cannot say what is visible; other kinds are checked pair by pair."""
        if self.forward and not self.backward:
            raise UserError(
                f"{self.forward.root}: the occlusion_aware protocol needs to know what is visible: give forward/ and "
                "backward/ folders, or let the flow be estimated"
            )

    def of_clip(self, plan: ClipPlan, visibility: bool, dense: bool) -> ClipFlow:
        """Flow of one clip.

        Args:
            plan: the clip.
            visibility: find what is visible too.
            dense: pixels without a known vector are an error.

        Raises:
            UserError: the folder has no flow of this clip, or flow between other frames.
        """
        return ClipFlow(self._opener(plan), visibility, dense)

    def _opener(self, plan: ClipPlan) -> Callable[[], FlowReader]:
        if self.method is not None:
            frames = Frames(plan.frames)
            return partial(EstimatedFlow, frames, self.method, self.label, frames.describe)
        if self.stored is not None:
            return partial(StoredFlow, self._known(self.stored, plan))
        if self.pairs is not None:
            files = self._known(self.pairs, plan)
            return partial(FlowFiles, files, next(iter(files.values())).parent, plan.name)
        forward = self.forward.match(plan.video, plan.folder)
        if forward is None:
            raise UserError(f"{self.label}: no flow of clip {plan.name} (it has {self.forward.known()})")
        backward = (self.backward.match(plan.video, plan.folder) if self.backward else None) or {}
        self._check_step(plan, forward, backward)
        files = {(source, target): forward[source] for source, target in plan.pairs if source in forward}
        files |= {(target, source): backward[target] for source, target in plan.pairs if target in backward}
        return partial(FlowFiles, files, next(iter(forward.values())).parent, plan.name)

    def _check_step(self, plan: ClipPlan, *files: Files) -> None:
        """Raise ``UserError`` unless flow named by frame leads to the frames that the predictions ask for.

        A name says only where flow begins. It leads one step on, and what a step is follows from the numbers of the
        flow files and of the frames. With a single file and no frames only the next number can be meant.
        """
        steps = {step for step in map(detected_step, (*files, plan.frames)) if step} or {1}
        for source, target in plan.pairs:
            for step in sorted(steps):
                if not one_step(source, target, step):
                    raise UserError(
                        f"{self.label}: flow named by its frame leads one step on, from frame {source} to "
                        f"{source + step} of clip {plan.name}, but the prediction after {source} is of frame {target}: "
                        f"give flow named by its pair, <clip>/{source}_{target}.flo, or predictions of every frame"
                    )

    def _known(self, clips: Mapping[str, Any], plan: ClipPlan) -> Any:
        found = clips.get(plan.name, clips.get(plan.video))
        if len(clips) == len(plan.folder.clips) == 1 and UNNAMED in (plan.video, *clips):
            (found,) = clips.values()
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
        UserError: the value is unknown, the folder holds no flow, or an option does not fit.
    """
    if Path(text).is_dir():
        if options:
            raise UserError(
                f"--flow-option {options[0]}: flow is read from the folder {text}, not computed; leave the option out"
            )
        return _folder(Path(text))
    if text == "exact":
        raise UserError("--flow exact: exact flow is read, not computed: give the folder of its .arrow files")
    parameters = dict(map(_option, options))
    label = ", ".join([text, *options])
    if text.endswith(".onnx"):
        method = Method("onnx", (("path", text), *parameters.items()))
    elif text == "dis":
        parameters = {"preset": preset, **parameters}
        method, label = Method("dis", tuple(parameters.items())), f"dis ({parameters['preset']})"
    else:
        method = Method(text, tuple(parameters.items()))
    try:
        _built(method)
    except UserError as error:
        where = "" if method.name in methods.METHODS else "no such folder, and "
        raise UserError(f"--flow {text}: {where}{error}") from error
    return FlowChoice(label, method)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    found = parse(value, f"--flow-option {text}")
    plain = (str, int, float, type(None))
    if not (name and equals and value) or not isinstance(found, (*plain, list)):
        raise UserError(f"--flow-option {text}: give name=value, e.g. weights=raft.pth")
    if not isinstance(found, list):
        return name, found
    if not all(isinstance(one, plain) for one in found):
        raise UserError(f"--flow-option {text}: a list may hold plain values only, e.g. inputs=[a, b]")
    # A method must be hashable.
    return name, tuple(found)


def _folder(root: Path) -> FlowChoice:
    present = sorted(path for path in visible_files(root) if path.suffix.lower() in (".arrow", *SUFFIXES))
    check_names(present)
    stored = {path.relative_to(root).with_suffix("").as_posix(): path for path in present if path.suffix == ".arrow"}
    if stored:
        return FlowChoice(str(root), stored=stored)
    files = [path for path in present if path.suffix.lower() in SUFFIXES]
    if files and all(PAIR_STEM.fullmatch(path.stem) and not _ONE_FRAME.fullmatch(path.stem) for path in files):
        pairs = files_by_pair(files, partial(_clip_of, root))
        if not named_by_frame(pairs):
            return FlowChoice(str(root), pairs=pairs)
    if (root / "forward").is_dir():
        backward = root / "backward"
        return FlowChoice(
            str(root),
            forward=_by_frame(root / "forward"),
            backward=_by_frame(backward) if backward.is_dir() else None,
        )
    return FlowChoice(str(root), forward=_by_frame(root))


def _clip_of(root: Path, path: Path) -> str:
    return UNNAMED if path.parent == root else path.parent.relative_to(root).as_posix()


def _by_frame(root: Path) -> ClipFolder:
    folder = read_folder(root, SUFFIXES)
    if folder.strays:
        raise UserError(folder.strays[0])
    return folder


@lru_cache(maxsize=1)
def _built(method: Method) -> Estimator:
    return methods.build(method.name, **dict(method.parameters))
