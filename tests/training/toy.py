"""A small data set in the pipeline's own files: a smooth picture with regions that slides by a known motion."""

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from etc.core.files import atomic
from etc.dataset import manifest
from etc.dataset.label_sets import label_set
from etc.flow.store import FlowWriter
from etc.models import registry, weights

ROOT = Path(__file__).parents[2]
MOTION = (2, 1)  # pixels right and down a frame
WIDTH = 8


def make(
    project: Path,
    size: tuple[int, int] = (32, 64),
    clips: int = 3,
    frames: int = 5,
    changes: dict[str, Any] | None = None,
) -> Path:
    """Write params and data of the data set 'street' into ``project``; every frame but the middle is pseudo-labelled,
    in the chains of the seeds 0 and 1.

    Args:
        project: folder that stands for the project's root.
        size: height and width of the frames.
        clips: number of training clips.
        frames: frames in a clip.
        changes: parameters of all stages that differ from :func:`settings`, by dotted key below the data set.
    """
    folder = project / "data" / "street"
    classes = label_set("street")
    rng = np.random.default_rng(0)
    rows, pseudo = [], []
    for clip in (f"street_{number:06d}" for number in range(clips)):
        pictures, labels = _clip(rng, size, frames, classes.count)
        for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            names = f"images/{clip}_{number:06d}.png", f"labels/{clip}_{number:06d}.png"
            for name, pixels in zip(names, (picture[..., ::-1], classes.decode(label)), strict=True):
                (folder / "root" / name).parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / "root" / name), pixels)
            data = (folder / "root" / names[0]).read_bytes()
            row = (
                clip,
                number,
                "train",
                number == frames // 2,
                *names,
                size[1],
                size[0],
                len(data),
                manifest.checksum(data),
                manifest.checksum((folder / "root" / names[1]).read_bytes()),
            )
            rows.append(row)
            if number != frames // 2:
                # Labels that cover the picture differently, as pseudo-labels do.
                label[: size[0] * number // frames] = 255
                pseudo.append((clip, number, cv2.imencode(".png", label)[1].tobytes(), 1.0))
        _write_flow(folder / "flow" / "train" / f"{clip}.arrow", size, frames)
    manifest.write(folder / "frames.parquet", pd.DataFrame(rows, columns=manifest.SCHEMA.names), classes)
    schema = pa.schema([("clip", pa.string()), ("frame", pa.int32()), ("label", pa.binary()), ("kept", pa.float64())])
    for seed in ("0", "1"):
        _write(folder / "pseudo_labels" / seed / "labels.parquet", pseudo, schema)
    for stage in ("labeller", "pretrain", "teacher", "student"):
        write_params(project, stage, changes or {})
    return project


# What is tuned on the embedded data set is pinned here, so that tuning it moves no expected value of a test.
TERMS = {"tl": 3.0, "sf": 1.0, "pf": 1.0, "mf": 1.0}
TUNED = {
    "judge_every": None,
    "keep": "last",
    "lr": 0.02,
    "head_lr_factor": 5,
    "freeze_bn": False,
    "class_weights": None,
    "clip_gradient": None,
    "weight_decay": 1.0e-4,
    "auxiliary_weight": 0.4,
}


def settings(stage: str) -> dict[str, Any]:
    """The shipped parameters of a stage, cut down to the toy, with fixed values for what is tuned."""
    block = yaml.safe_load((ROOT / "params" / f"{stage}.yaml").read_text())["street"]
    training = block["training"]
    training.update(iterations=6, batch=4, warmup=0, **TUNED)
    training["augment"]["crop"] = [32, 48]
    training["machine"].update(device="cpu", threads=1, checkpoint_every=2)
    if "sampling" in block:
        block["sampling"].update(pseudo_share=0.5, partner_reach=3)
    if "start" in block:
        block["start"] = "random"
    if stage == "teacher":
        block["tl"] = TERMS["tl"]
    if stage == "student":
        block["widths"], block["pseudo_shares"] = {"pspnet18": WIDTH}, {}
        for name, scheme in block["schemes"].items():
            block["schemes"][name] = {term: TERMS[term] for term in scheme}
    elif "network" in block:
        block["network"]["width"] = WIDTH
    return block


def write_params(project: Path, stage: str, changes: dict[str, Any]) -> None:
    """Write the stage's parameter file; keys that the stage does not have are left out."""
    block = copy.deepcopy(settings(stage))
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        owner = block
        for key in path:
            owner = owner.get(key, {})
        if last in owner or path[-1:] == ["schemes"]:
            owner[last] = value
    path = project / "params" / f"{stage}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"street": block}, sort_keys=False))


def make_teacher(project: Path, width: int = 8) -> None:
    """Write an untrained network as the teacher of seed 0."""
    import torch

    classes = label_set("street")
    torch.manual_seed(1)
    network = registry.build("pspnet18", classes.count, width)
    config = {"architecture": "pspnet18", "width": width, "classes": classes.count, "class_names": list(classes.names)}
    weights.save(project / "data" / "street" / "teacher" / "0", network, config)


def _clip(rng: np.random.Generator, size: tuple[int, int], frames: int, classes: int) -> tuple[list, list]:
    height, width = size[0] + MOTION[1] * frames, size[1] + MOTION[0] * frames
    regions = cv2.resize(rng.random((6, 8)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    label = (np.clip(regions, 0, 0.999) * classes).astype(np.uint8)
    colours = rng.integers(0, 256, (classes, 3))
    picture = cv2.GaussianBlur(colours[label].astype(np.float32), (0, 0), 1.0).astype(np.uint8)
    pictures, labels = [], []
    for frame in range(frames):
        # What lies at x in this frame lies at x + motion in the next.
        y, x = (MOTION[1] * (frames - frame), MOTION[0] * (frames - frame))
        pictures.append(np.ascontiguousarray(picture[y : y + size[0], x : x + size[1]]))
        labels.append(np.ascontiguousarray(label[y : y + size[0], x : x + size[1]]))
    return pictures, labels


def _write_flow(path: Path, size: tuple[int, int], frames: int) -> None:
    with FlowWriter(path, "0" * 32, size) as writer:
        for source in range(frames):
            for target in range(max(0, source - 3), min(frames, source + 4)):
                if source != target:
                    flow = np.broadcast_to(np.float32(MOTION) * (target - source), (*size, 2)).astype(np.float32)
                    writer.write(source, target, flow, np.ones(size, bool))


def _write(path: Path, rows: list[tuple], schema: pa.Schema) -> None:
    columns = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)]
    with atomic(path) as stream:
        pq.write_table(pa.table(columns, schema=schema), stream)
