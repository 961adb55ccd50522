"""Stage ``pseudo_labels``: the labeller labels the unlabelled training frames."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from etc.datasets import labels, manifest
from etc.errors import UserError
from etc.evaluation.iou import IGNORE
from etc.files import atomic
from etc.inference import probabilities, to_tensor
from etc.models import weights
from etc.params import pseudo_labels as params
from etc.progress import track
from etc.pseudo_labels import confidence_histogram, keep_confident, quantise, thresholds
from etc.training.determinism import set_determinism

SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("frame", pa.int32()),
        ("label", pa.binary()),
        ("confidence", pa.binary()),
        ("kept", pa.float64()),
    ]
)


def run(dataset: str) -> str:
    """Write ``data/<dataset>/pseudo_labels.parquet`` and the audit table; return the closing line.

    The Parquet has one row a frame: clip, frame number, label (PNG, uint8 train ids, 255 = ignore), confidence
    (PNG, uint8, 255 = sure) and the share of pixels kept.

    Raises:
        UserError: the labeller or the manifest is missing or damaged.
    """
    settings = params.load(dataset)
    set_determinism(0, settings.threads)
    folder = Path("data") / dataset
    frames = manifest.read(folder / "frames.parquet")
    label_set = labels.label_set(dataset)
    network, _ = weights.load(folder / "labeller")
    network = network.to(memory_format=torch.channels_last)
    chosen = choose_frames(frames, settings.stride)
    if chosen.empty:
        raise UserError(f"{folder / 'frames.parquet'}: no unlabelled training frame to label; lower 'stride'")

    predictions = []
    histogram = np.zeros((label_set.count, 256), np.int64)
    rows = chosen.to_dict("records")
    batches = [rows[start : start + settings.batch] for start in range(0, len(rows), settings.batch)]
    for batch in track(batches, len(batches), f"pseudo-labels {dataset}"):
        images = np.stack([manifest.load_image(folder / "root", row) for row in batch])
        with torch.inference_mode():
            confidence, prediction = probabilities(
                network, to_tensor(images), tuple(settings.scales), settings.flip
            ).max(dim=1)
        for one, sure in zip(prediction.numpy().astype(np.uint8), quantise(confidence.numpy()), strict=True):
            histogram += confidence_histogram(one, sure, label_set.count)
            # PNG bytes rather than maps: a full data set would not fit into memory.
            predictions.append((_png(one), _png(sure)))

    threshold = thresholds(histogram, settings.keep_share, settings.min_confidence)
    audit = Audit(label_set.names)
    with atomic(folder / "pseudo_labels.parquet") as stream, pq.ParquetWriter(stream, SCHEMA, compression="none") as writer:
        for row, (one, sure) in zip(rows, predictions, strict=True):
            prediction, level = _decode(one), _decode(sure)
            label = keep_confident(prediction, level, threshold)
            truth = manifest.load_label(folder / "root", row, label_set) if row["label"] else None
            audit.add(prediction, label, truth)
            values = [row["clip"]], [row["frame"]], [_png(label)], [sure], [float((label != IGNORE).mean())]
            writer.write_table(pa.table(list(map(pa.array, values)), names=SCHEMA.names).cast(SCHEMA))
    table = audit.table(threshold)
    path = Path("results") / dataset / "tables" / "pseudo_labels.csv"
    with atomic(path, "w") as stream:
        table.to_csv(stream, index=False, float_format="%.4f")
    kept = table.loc[table["class"] == "all", "kept_share"].item()
    return f"{len(chosen)} pseudo-labels ({kept:.0%} of the pixels kept) in {folder / 'pseudo_labels.parquet'}, audit in {path}"


def choose_frames(frames: pd.DataFrame, stride: int) -> pd.DataFrame:
    """Training frames without a label that training may use: every ``stride``-th, counted from the annotated one."""
    train = frames[frames["split"] == "train"]
    position = train.groupby("clip").cumcount()
    centre = position.where(train["annotated"]).groupby(train["clip"]).transform("min").fillna(0)
    return train[~train["annotated"] & ((position - centre) % stride == 0)]


class Audit:
    """Counts of what was kept and, where truth exists, of what was right.

    Args:
        names: class names, position = train id.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._counts = {
            key: np.zeros(len(names), np.int64)
            for key in ("predicted", "kept", "judged", "right", "judged_kept", "right_kept")
        }

    def add(self, prediction: np.ndarray, label: np.ndarray, truth: np.ndarray | None) -> None:
        """Add one frame: prediction and kept label, uint8 (H, W), and the truth or None."""
        kept = label != IGNORE
        self._add("predicted", prediction)
        self._add("kept", prediction[kept])
        if truth is not None:
            judged = truth != IGNORE
            right = judged & (prediction == truth)
            self._add("judged", prediction[judged])
            self._add("right", prediction[right])
            self._add("judged_kept", prediction[judged & kept])
            self._add("right_kept", prediction[right & kept])

    def table(self, threshold: np.ndarray) -> pd.DataFrame:
        """One row a class and one for all: pixels, share kept, threshold, accuracy before and after filtering.

        Accuracy is the share of predicted pixels of the class that are right; empty where no truth exists.
        """
        counts = {key: np.append(values, values.sum()) for key, values in self._counts.items()}
        return pd.DataFrame(
            {
                "class": [*self._names, "all"],
                "predicted_pixels": counts["predicted"],
                "kept_pixels": counts["kept"],
                "kept_share": _ratio(counts["kept"], counts["predicted"]),
                "threshold": np.append(threshold / 255.0, np.nan),
                "accuracy_before": _ratio(counts["right"], counts["judged"]),
                "accuracy_kept": _ratio(counts["right_kept"], counts["judged_kept"]),
            }
        )

    def _add(self, key: str, ids: np.ndarray) -> None:
        self._counts[key] += np.bincount(ids.ravel(), minlength=len(self._names))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
