"""Stage ``flow``: optical flow of every pair that training or evaluation will ask for, computed once."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from etc.datasets import manifest
from etc.errors import UserError
from etc.flow import methods
from etc.flow.store import FlowReader, FlowWriter, content_key
from etc.flow.visibility import forward_backward_visible
from etc.params import flow as params
from etc.progress import track

# Raised when this module would compute other flow from the same frames and parameters.
VERSION = "1"


@dataclass(frozen=True)
class Task:
    """One clip: all that a worker process needs."""

    clip: str
    root: Path
    rows: list[dict]
    settings: params.FlowParams
    path: Path


def run(dataset: str, purpose: str, workers: int) -> str:
    """Write ``data/<dataset>/flow/<purpose>/<clip>.arrow`` for every clip; return the closing line.

    Finished clips of a killed run wait in ``work/`` under their content key and are not computed again.

    Args:
        dataset: data set name.
        purpose: ``train`` or ``evaluate``, a block of ``params/flow.yaml``.
        workers: processes; the files do not depend on it.

    Raises:
        UserError: unknown purpose, or frames that are missing, damaged or of several sizes.
    """
    block = params.load(dataset)
    if purpose not in type(block).model_fields:
        raise UserError(f"unknown purpose '{purpose}'; use one of {', '.join(type(block).model_fields)}")
    settings = getattr(block, purpose)
    folder = Path("data") / dataset
    frames = manifest.read(folder / "frames.parquet")
    frames = frames[frames["split"].isin(settings.splits)]
    if frames.empty:
        raise UserError(
            f"{folder / 'frames.parquet'}: no frame in the splits {settings.splits}; change them in {params.PATH}"
        )
    scratch, output = Path("work") / dataset / "flow" / purpose, folder / "flow" / purpose
    tasks = [
        Task(str(clip), folder / "root", _rows(group), settings, scratch / f"{clip}.arrow")
        for clip, group in frames.groupby("clip", sort=True)
    ]
    pairs = 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(compute_clip, task) for task in tasks]
        try:
            for job in track(as_completed(jobs), len(jobs), f"flow {dataset} {purpose}"):
                pairs += job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    output.mkdir(parents=True, exist_ok=True)
    for stale in set(output.glob("*.arrow")) - {output / task.path.name for task in tasks}:
        stale.unlink()
    for task in tasks:
        os.replace(task.path, output / task.path.name)
    shutil.rmtree(scratch)
    return f"flow of {pairs} pairs in {len(tasks)} clips ({settings.method}) in {output}"


def compute_clip(task: Task) -> int:
    """Make the flow file of one clip unless a valid one is there; return its number of pairs."""
    cv2.setNumThreads(1)
    numbers = [row["frame"] for row in task.rows]
    wanted = frame_pairs(numbers, task.settings.max_offset)
    key = clip_key(task)
    if _is_complete(task.path, key, wanted):
        return len(wanted)
    exact = _exact_flow(task) if _needs_exact(task.settings) else None
    if task.settings.method == "exact":
        flows = None
    else:
        images = {row["frame"]: manifest.load_image(task.root, row) for row in task.rows}
        estimate = _method(task.settings)
        flows = {(source, target): estimate(images[source], images[target]) for source, target in wanted}
    shape = (task.rows[0]["height"], task.rows[0]["width"])
    step = 1 / task.settings.steps_per_pixel
    with FlowWriter(task.path, key, shape, step, task.settings.method) as writer:
        for source, target in wanted:
            if flows is None:
                flow, visible = exact.read(source, target)
            else:
                flow = flows[source, target]
                if task.settings.visibility == "exact":
                    _, visible = exact.read(source, target)
                else:
                    visible = forward_backward_visible(flow, flows[target, source])
            writer.write(source, target, flow, visible)
    return len(wanted)


def frame_pairs(numbers: list[int], max_offset: int) -> list[tuple[int, int]]:
    """All ordered pairs of frames of a clip that are at most ``max_offset`` places apart, in both directions."""
    numbers = sorted(numbers)
    return [
        (numbers[source], numbers[target])
        for source in range(len(numbers))
        for target in range(max(0, source - max_offset), min(len(numbers), source + max_offset + 1))
        if target != source
    ]


def clip_key(task: Task) -> str:
    """Key of the clip's flow file: content of its frames, method, parameters, versions."""
    settings = task.settings.model_dump(exclude={"splits"})
    method = methods.ExactFlow(task.root) if task.settings.method == "exact" else _method(task.settings)
    return content_key([row["checksum"] for row in task.rows], method.name, settings, f"{VERSION} {method.version}")


def _method(settings: params.FlowParams) -> methods.FlowMethod:
    return methods.build("dis", preset=settings.preset) if settings.method == "dis" else methods.build(settings.method)


def _exact_flow(task: Task) -> FlowReader:
    """The flow that a generated data set brings along, ``<root>/flow/<split>/<city>/<clip>.arrow``."""
    found = next((task.root / "flow").rglob(f"{task.clip}.arrow"), None)
    if found is None:
        raise UserError(
            f"{task.root / 'flow'}: no exact flow of clip '{task.clip}'; only generated data sets have it: "
            f"use another 'method' and 'visibility' in {params.PATH}"
        )
    return methods.ExactFlow(found.parent).clip(task.clip)


def _needs_exact(settings: params.FlowParams) -> bool:
    return "exact" in (settings.method, settings.visibility)


def _is_complete(path: Path, key: str, pairs: list[tuple[int, int]]) -> bool:
    if not path.exists():
        return False
    try:
        return FlowReader(path, key).pairs == pairs
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
