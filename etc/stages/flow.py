"""Stage ``flow``: optical flow of every pair that training or evaluation will ask for, computed once."""

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from etc.core.errors import UserError, many
from etc.core.progress import track
from etc.core.regular import file_checksum
from etc.dataset.dataset import Dataset
from etc.dataset.location import locate
from etc.flow import methods
from etc.flow.estimated import EstimatedFlow
from etc.flow.estimators.estimator import Estimator
from etc.flow.files import find_flow
from etc.flow.store import FlowReader, FlowWriter, StoredFlow, content_key
from etc.flow.visibility import forward_backward_visible
from etc.flow.warp import check_flow
from etc.params import flow as params
from etc.workers import Workers

# Increase when this module computes different flow from the same frames and parameters.
VERSION = "2"
# Methods that read the flow of a clip and estimate nothing.
_READ = ("exact", "folder")


@dataclass(frozen=True)
class Task:
    """One clip: everything a worker process needs."""

    clip: str
    dataset: Dataset
    rows: list[dict]
    settings: params.FlowParams
    path: Path

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the clip's frames."""
        return self.rows[0]["height"], self.rows[0]["width"]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs to make, each followed by its opposite."""
        return frame_pairs([row["frame"] for row in self.rows], self.settings.max_offset)


def run(dataset: str, purpose: str, workers: int) -> str:
    """Write ``data/<dataset>/flow/<purpose>/<clip>.arrow`` for every clip that has pairs; return the closing line.

    Finished clips of a killed run wait in ``work/`` under their content key and are not computed again.

    Args:
        dataset: data set name.
        purpose: a block of ``params/flow.yaml``: ``train``, ``evaluate`` or ``compare``.
        workers: processes; the files do not depend on it.

    Raises:
        UserError: unknown purpose, frames that are missing, damaged, of several sizes or too large for the stored
            precision, or a flow method that is not installed or cannot find what it needs.
    """
    block = params.load(dataset)
    if purpose not in type(block).model_fields:
        raise UserError(f"unknown purpose '{purpose}'; use one of {', '.join(type(block).model_fields)}")
    settings = getattr(block, purpose)
    data = Dataset(dataset)
    frames = data.frames[data.frames["split"].isin(settings.splits)]
    if frames.empty:
        raise UserError(f"{data.manifest}: no frame in the splits {settings.splits}; change them in {params.PATH}")
    scratch, output = Path("work") / dataset / "flow" / purpose, data.folder / "flow" / purpose
    tasks = [
        Task(str(clip), data, _rows(group), settings, scratch / f"{clip}.arrow")
        for clip, group in frames.groupby("clip", sort=True)
        if len(group) > 1
    ]
    if not tasks:
        raise UserError(
            f"{data.manifest}: no clip of the splits {settings.splits} has two frames: there is no pair; "
            "give frames of a video, see docs/datasets.md"
        )
    for task in tasks:
        params.check_precision(dataset, purpose, settings, task.shape)
    if settings.method == "raft" and settings.path is None:
        # Download the weights once, not in every process.
        _method(settings)
    with Workers(min(workers, len(tasks))) as pool:
        pairs = sum(track(pool.map(compute_clip, tasks), len(tasks), f"flow {dataset} {purpose}"))
    output.mkdir(parents=True, exist_ok=True)
    for stale in set(output.glob("*.arrow")) - {output / task.path.name for task in tasks}:
        stale.unlink()
    for task in tasks:
        # work/ may be on another disk.
        shutil.move(task.path, output / task.path.name)
    shutil.rmtree(scratch)
    return f"flow of {many(pairs, 'pair')} in {many(len(tasks), 'clip')} ({settings.method}) in {output}"


def compute_clip(task: Task) -> int:
    """Make the flow file of one clip unless a valid one exists; return its number of pairs."""
    cv2.setNumThreads(1)
    key = clip_key(task)
    if _is_complete(task.path, key, task.pairs):
        return len(task.pairs)
    settings = task.settings
    reader = _reader(task)
    exact = StoredFlow(_exact_path(task)) if settings.visibility == "exact" else None
    with FlowWriter(
        task.path, key, task.shape, 1 / settings.steps_per_pixel, settings.method, settings.scale
    ) as writer:
        # A pair and its opposite at a time: a long clip of large frames does not fit into memory.
        for there, back in zip(task.pairs[::2], task.pairs[1::2], strict=True):
            flows = {pair: reader.read(*pair) for pair in (there, back)}
            for pair, opposite in ((there, back), (back, there)):
                flow = _checked(task, pair, flows[pair][0])
                visible = exact.read(*pair)[1] if exact else forward_backward_visible(flow, flows[opposite][0])
                if settings.method == "folder":
                    visible &= flows[pair][1]
                writer.write(*pair, flow, visible)
    return len(task.pairs)


def frame_pairs(numbers: list[int], max_offset: int) -> list[tuple[int, int]]:
    """All ordered pairs of frames of a clip that are at most ``max_offset`` places apart, each before its opposite."""
    numbers = sorted(numbers)
    return [
        pair
        for position, number in enumerate(numbers)
        for other in numbers[position + 1 : position + 1 + max_offset]
        for pair in ((number, other), (other, number))
    ]


def clip_key(task: Task) -> str:
    """Key of the clip's flow file: content of its frames and of the flow it is read from, method, parameters, versions.

    Raises:
        UserError: the method is not installed, or a file that the flow is read from is missing.
    """
    settings = task.settings
    stored = settings.model_dump(include={"max_offset", "steps_per_pixel", "scale", "visibility"})
    content = [row["checksum"] for row in task.rows]
    if "exact" in (settings.method, settings.visibility):
        content.append(file_checksum(_exact_path(task)))
    if settings.method == "folder":
        content += find_flow(settings.path, task.clip).checksums(task.pairs)
    if settings.method in _READ:
        return content_key(content, settings.method, stored, VERSION)
    method = _method(settings)
    return content_key(content, method.name, {**stored, **method.parameters}, f"{VERSION} {method.version}")


def _method(settings: params.FlowParams) -> Estimator:
    """The estimator, made once in a process: a network takes its time to load."""
    return _built(settings.method, tuple(settings.options().items()))


@functools.lru_cache(maxsize=1)
def _built(name: str, options: tuple) -> Estimator:
    return methods.build(name, **dict(options))


def _reader(task: Task) -> FlowReader:
    if task.settings.method == "exact":
        return StoredFlow(_exact_path(task))
    if task.settings.method == "folder":
        return find_flow(task.settings.path, task.clip, task.shape)
    images = {row["frame"]: task.dataset.image(row) for row in task.rows}
    paths = {row["frame"]: str(locate(task.dataset.root, row["image"])) for row in task.rows}
    return EstimatedFlow(images.__getitem__, _method(task.settings), task.settings.method, paths.__getitem__)


def _checked(task: Task, pair: tuple[int, int], flow: np.ndarray) -> np.ndarray:
    """The flow a reader gave, after checking that it fits this clip."""
    name = f"{task.settings.method} flow of clip '{task.clip}' from frame {pair[0]} to {pair[1]}"
    if flow.shape[:2] != task.shape:
        raise UserError(f"{name}: its size {flow.shape[:2]} differs from the frames' size {task.shape}")
    try:
        check_flow(flow)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return flow


def _exact_path(task: Task) -> Path:
    """The flow that comes with a generated data set, ``<root>/flow/<split>/<city>/<clip>.arrow``."""
    folder = task.dataset.root / "flow"
    found = next(folder.rglob(f"{task.clip}.arrow"), None)
    if found is None:
        raise UserError(
            f"{folder}: no exact flow of clip '{task.clip}'; only generated data sets have it: "
            f"use another 'method' and 'visibility' in {params.PATH}"
        )
    return found


def _is_complete(path: Path, key: str, pairs: list[tuple[int, int]]) -> bool:
    if not path.exists():
        return False
    try:
        return StoredFlow(path, key).pairs == pairs
    except UserError:
        path.unlink()
        return False


def _rows(group: pd.DataFrame) -> list[dict]:
    sizes = group[["height", "width"]].drop_duplicates()
    if len(sizes) > 1:
        raise UserError(
            f"clip {group['clip'].iloc[0]}: frames of several sizes {np.array(sizes).tolist()}; flow needs one"
        )
    return group.to_dict("records")
