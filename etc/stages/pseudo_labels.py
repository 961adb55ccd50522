"""Stage ``pseudo_labels``: the labeller labels the unlabelled training frames."""

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from etc.core.errors import UserError, many
from etc.core.files import atomic
from etc.core.progress import track
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import IGNORE
from etc.inference import SegmentAveraged, choose_device, compiled, predict_averaged
from etc.models import weights
from etc.models.fused import fused
from etc.params import pseudo_labels as params
from etc.params.experiment import Network
from etc.pseudo_labels import Audit, confidence_histogram, keep_confident, quantise, thresholds
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


def run(dataset: str, seed: int) -> str:
    """Write ``data/<dataset>/pseudo_labels/<seed>/``; return the closing line.

    - ``labels.parquet``, one row a frame: clip, frame number, label (PNG, uint8 train ids, 255 = ignore), confidence
      (PNG, uint8, 255 = sure) and the share of pixels kept; no row where training may use the label of every frame.
    - ``audit.csv``, one row a class and one for all, see :meth:`etc.pseudo_labels.Audit.table`.

    Args:
        dataset: data set name.
        seed: of the labeller, >= 0; nothing here is drawn.

    Raises:
        UserError: the labeller or the manifest is missing or damaged, or the stride leaves out every frame.
    """
    settings = params.load(dataset)
    set_determinism(0, settings.threads)
    data = Dataset(dataset)
    label_set = data.label_set
    network, _ = weights.load(data.folder / Network("labeller", seed).folder)
    device = choose_device(settings.device)
    network = (fused(network) if settings.fast else network).to(device, memory_format=torch.channels_last)
    segment = SegmentAveraged(network, tuple(settings.scales), settings.flip, half=settings.fast)
    segment = compiled(segment) if settings.fast else segment
    chosen = choose_frames(data.frames, settings.stride)
    # Where training may use the label of every frame there is nothing to do, as in CamVid's published split.
    if chosen.empty and not data.frames.query("split == 'train'")["annotated"].all():
        raise UserError(f"{data.manifest}: no unlabelled training frame to label; lower 'stride'")

    predictions = []
    histogram = np.zeros((label_set.count, 256), np.int64)
    rows = chosen.to_dict("records")
    batches = [rows[start : start + settings.batch] for start in range(0, len(rows), settings.batch)]
    for batch in track(batches, len(batches), f"pseudo-labels {dataset}"):
        images = np.stack([data.image(row) for row in batch])
        prediction, confidence = predict_averaged(segment, images)
        for one, sure in zip(prediction, quantise(confidence), strict=True):
            histogram += confidence_histogram(one, sure, label_set.count)
            # PNG bytes rather than maps: a full data set would not fit into memory.
            predictions.append((_png(one), _png(sure)))

    threshold = thresholds(histogram, settings.keep_share, settings.min_confidence)
    audit = Audit(label_set.names)
    output = data.folder / "pseudo_labels" / str(seed)
    # PNG bytes do not compress further.
    with atomic(output / "labels.parquet") as stream, pq.ParquetWriter(stream, SCHEMA, compression="none") as writer:
        for row, (one, sure) in zip(rows, predictions, strict=True):
            prediction, level = _decode(one), _decode(sure)
            label = keep_confident(prediction, level, threshold)
            truth = data.label(row) if row["label"] else None
            audit.add(prediction, label, truth)
            values = [row["clip"]], [row["frame"]], [_png(label)], [sure], [float((label != IGNORE).mean())]
            writer.write_table(pa.table(list(map(pa.array, values)), names=SCHEMA.names).cast(SCHEMA))
        if not rows:
            writer.write_table(SCHEMA.empty_table())
    table = audit.table(threshold)
    with atomic(output / "audit.csv", "w") as stream:
        table.to_csv(stream, index=False, float_format="%.4f")
    if not rows:
        return f"no pseudo-labels in {output}: every training frame has a label"
    kept = table.loc[table["class"] == "all", "kept_share"].item()
    return f"{many(len(chosen), 'pseudo-label')} ({kept:.0%} of the pixels kept) and their audit in {output}"


def choose_frames(frames: pd.DataFrame, stride: int) -> pd.DataFrame:
    """Training frames without a label that training may use: every ``stride``-th, counted from the annotated one."""
    train = frames[frames["split"] == "train"]
    position = train.groupby("clip").cumcount()
    centre = position.where(train["annotated"]).groupby(train["clip"]).transform("min").fillna(0)
    return train[~train["annotated"] & ((position - centre) % stride == 0)]


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
