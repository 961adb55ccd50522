"""Stage ``evaluate``: judge one student, frame by frame, and keep counts, from which any table can be pooled."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from etc.datasets import labels, manifest
from etc.errors import UserError
from etc.evaluation.iou import confusion_matrix
from etc.evaluation.protocols import PairCounts
from etc.evaluation.tc import pair_counts
from etc.files import atomic
from etc.flow.store import FlowReader
from etc.inference import choose_device, fused, predict
from etc.models import weights
from etc.params import evaluate as params
from etc.progress import track
from etc.training.determinism import set_determinism

PROTOCOLS = ("corrected", "occlusion_aware")


def run(dataset: str, architecture: str, scheme: str, seed: int) -> str:
    """Write ``data/<dataset>/evaluation/<run>/``; return the closing line.

    - ``iou.parquet``: clip, frame, class, tp, fp, fn; one row per labelled frame and class.
    - ``tc.parquet``: clip, source, target, protocol, class, intersection, union; one row per pair, protocol, class.
    - ``sample.npz``: clip, frames, predictions uint8 (K, H, W) of the first sampled clips.

    Raises:
        UserError: weights, frames or flow are missing or damaged.
    """
    settings = params.load(dataset)
    set_determinism(0, settings.threads)
    run_name = f"{architecture}-{scheme}-{seed}"
    folder = Path("data") / dataset
    frames = manifest.read(folder / "frames.parquet")
    clips = sample_clips(frames, settings.split, settings.sample.share, settings.sample.seed)
    if not clips:
        raise UserError(
            f"{folder / 'frames.parquet'}: no clip in split '{settings.split}'; change 'split' in {params.PATH}"
        )
    label_set = labels.label_set(dataset)
    network, _ = weights.load(folder / "students" / run_name)
    network = fused(network) if settings.fuse else network
    network = network.to(choose_device(settings.device), memory_format=torch.channels_last)

    accuracy, consistency, samples = [], [], []
    for clip in track(clips, len(clips), f"evaluate {run_name}"):
        rows = frames[frames["clip"] == clip].to_dict("records")
        images = np.stack([manifest.load_image(folder / "root", row) for row in rows])
        predictions = predict(network, images, settings.batch)
        for row, prediction in zip(rows, predictions, strict=True):
            if row["label"]:
                truth = manifest.load_label(folder / "root", row, label_set)
                accuracy.append(_accuracy(clip, row["frame"], confusion_matrix(prediction, truth, label_set.count)))
        flows = FlowReader(folder / "flow" / "evaluate" / f"{clip}.arrow")
        numbers = [row["frame"] for row in rows]
        for position in range(len(rows) - 1):
            source, target = numbers[position], numbers[position + 1]
            flow, visible = flows.read(source, target)
            for protocol in PROTOCOLS:
                counts = pair_counts(
                    predictions[position], predictions[position + 1], flow, visible, label_set.count, protocol
                )
                consistency.append(_consistency(clip, source, target, protocol, counts))
        if len(samples) < settings.sample_clips:
            samples.append((clip, numbers, predictions))

    output = folder / "evaluation" / run_name
    _write(output / "iou.parquet", accuracy, label_set.count)
    _write(output / "tc.parquet", consistency, label_set.count)
    with atomic(output / "sample.npz") as stream:
        np.savez_compressed(stream, **_sample_arrays(samples))
    return f"{run_name} judged on {len(clips)} clips ({settings.split}); counts in {output}"


def sample_clips(frames: pd.DataFrame, split: str, share: float, seed: int) -> list[str]:
    """Names of the clips to judge: a fixed random share of the split's clips (at least one), sorted."""
    names = sorted(frames.loc[frames["split"] == split, "clip"].unique())
    if not names:
        return []
    count = max(1, round(share * len(names)))
    return sorted(np.random.default_rng(seed).choice(names, count, replace=False).tolist())


def _accuracy(clip: str, frame: int, confusion: np.ndarray) -> dict[str, Any]:
    tp = np.diag(confusion)
    return {"clip": clip, "frame": frame, "tp": tp, "fp": confusion.sum(axis=0) - tp, "fn": confusion.sum(axis=1) - tp}


def _consistency(clip: str, source: int, target: int, protocol: str, counts: PairCounts) -> dict[str, Any]:
    names = {"clip": clip, "source": source, "target": target, "protocol": protocol}
    return {**names, "intersection": counts.intersection, "union": counts.union}


def _table(records: list[dict[str, Any]], classes: int) -> pa.Table:
    """One row per record and class: arrays of a record have one value a class, the rest is repeated."""
    columns = {}
    for name, first in records[0].items():
        values = [record[name] for record in records]
        if isinstance(first, np.ndarray):
            columns[name] = pa.array(np.concatenate(values), pa.int64())
        else:
            kind = pa.string() if isinstance(first, str) else pa.int32()
            columns[name] = pa.array(np.repeat(values, classes), kind)
    columns["class"] = pa.array(np.tile(np.arange(classes, dtype=np.int32), len(records)))
    return pa.table(columns)


def _sample_arrays(samples: list[tuple[str, list[int], np.ndarray]]) -> dict[str, np.ndarray]:
    """The first clip under plain names, further ones with their number appended."""
    arrays = {}
    for number, (clip, frames, predictions) in enumerate(samples):
        suffix = str(number) if number else ""
        arrays |= {
            f"clip{suffix}": np.array(clip),
            f"frames{suffix}": np.asarray(frames, np.int32),
            f"predictions{suffix}": predictions,
        }
    return arrays


def _write(path: Path, records: list[dict[str, Any]], classes: int) -> None:
    if not records:
        raise UserError(f"{path}: nothing to count; the clips have no label or only one frame each")
    with atomic(path) as stream:
        pq.write_table(_table(records, classes), stream)
