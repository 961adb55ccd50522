"""From the manifest to the frames that training draws from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etc.core.errors import UserError, first_line
from etc.dataset import manifest, pictures
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import IGNORE
from etc.models.memory import is_out_of_memory
from etc.training.data import Clips, Labelled, ReadFlow
from etc.training.decoded import Kept
from etc.training.fingerprint import hash_files


def pseudo_label_file(dataset: Dataset, seed: int) -> Path:
    """Pseudo-labels by the labeller of a chain."""
    return dataset.folder / "pseudo_labels" / str(seed) / "labels.parquet"


def training_clips(
    dataset: Dataset,
    pseudo_labels: Path | None = None,
    flow: Callable[[str], ReadFlow] | None = None,
    decoded: str | None = None,
) -> Clips:
    """Frames of the training split, read only when a sample needs them.

    Args:
        dataset: the data set.
        pseudo_labels: file with labels of further frames; None reads none.
        flow: clip name to what reads its flow.
        decoded: folder that keeps decoded frames and labels; None keeps none.

    Raises:
        UserError: the manifest or the pseudo-labels are missing or do not fit each other.
    """
    train = dataset.frames[dataset.frames["split"] == "train"]
    images: dict[str, dict[int, Callable[[], np.ndarray]]] = {}
    sizes: dict[tuple[str, int], tuple[int, int]] = {}
    annotated = []
    for row in train.to_dict("records"):
        clip, frame = row["clip"], row["frame"]
        images.setdefault(clip, {})[frame] = _kept(decoded, partial(dataset.image, row), row["checksum"])
        sizes[clip, frame] = (row["height"], row["width"])
        if row["annotated"]:
            label = _kept(decoded, partial(dataset.label, row), row["label_checksum"], dataset.label_set.to_json())
            annotated.append(Labelled(clip, frame, label))
    pseudo = _pseudo_labelled(pseudo_labels, sizes, dataset.label_set.count, decoded) if pseudo_labels else []
    return Clips(images, annotated, pseudo, flow)


def frame_inputs(dataset: Dataset, pseudo_labels: Path | None = None) -> dict[str, str]:
    """Content hash of everything that :func:`training_clips` reads except the flow.

    Raises:
        UserError: the manifest or the pseudo-labels are missing.
    """
    # The manifest has the checksums of images and labels; they are verified when the files are read.
    files = {"manifest": dataset.manifest}
    if pseudo_labels:
        files["pseudo-labels"] = pseudo_labels
    for path in files.values():
        if not path.is_file():
            raise UserError(f"{path}: no such file; run the stage that makes it")
    return {name: hash_files([path]) for name, path in files.items()}


def _kept(decoded: str | None, read: Callable[[], np.ndarray], *made_of: str) -> Callable[[], np.ndarray]:
    """What reads a picture from the folder ``decoded``, under the hash of what it is made of; ``read`` without one."""
    return read if decoded is None else Kept(Path(decoded), manifest.checksum("\n".join(made_of).encode()), read)


def _pseudo_labelled(
    path: Path, sizes: dict[tuple[str, int], tuple[int, int]], classes: int, decoded: str | None
) -> list[Labelled]:
    try:
        table = pq.read_table(path, columns=["clip", "frame", "label"])
    except (pa.ArrowException, OSError) as error:
        if is_out_of_memory(error):
            raise
        raise UserError(f"{path}: not readable ({first_line(error)}); make the pseudo-labels again") from error
    labelled = []
    for clip, frame, label in zip(*(table[name].to_pylist() for name in ("clip", "frame", "label")), strict=True):
        source = f"{path}: clip {clip}, frame {frame}"
        if (clip, frame) not in sizes:
            raise UserError(f"{source} is no training frame; make the pseudo-labels again")
        read = partial(_decode, label, sizes[clip, frame], classes, source)
        labelled.append(Labelled(clip, frame, _kept(decoded, read, manifest.checksum(label or b""), str(classes))))
    return labelled


def _decode(png: bytes | None, size: tuple[int, int], classes: int, source: str) -> np.ndarray:
    try:
        label = pictures.decode(png or b"", source, "ids")
    except pictures.PictureError as error:
        detail = error.detail or error.problem
        raise UserError(f"{source}: the label is no PNG of ids ({detail}); make the pseudo-labels again") from error
    if label.shape != size:
        found, expected = ("x".join(map(str, shape)) for shape in (label.shape, size))
        raise UserError(f"{source}: the label is {found}, the frame {expected}; make the pseudo-labels again")
    foreign = label[(label >= classes) & (label != IGNORE)]
    if foreign.size:
        raise UserError(
            f"{source}: train id {foreign[0]}, but there are {classes} classes; make the pseudo-labels again"
        )
    return label
