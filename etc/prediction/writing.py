"""Predictions of a trained network on the frames of a data set, as files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.core.progress import track
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import LabelSet
from etc.inference import choose_device, fused, predict
from etc.models import weights
from etc.prediction import cityscapes
from etc.reporting.video import overlay

Form = Literal["ids", "labels", "colours", "overlay", "cityscapes"]
OPACITY = 0.6  # share of the class colour in an overlay


def write(run: Path, dataset: str, to: Path, split: str, form: Form, labelled: bool) -> str:
    """Predict the frames of one split and write one PNG a frame, ``<to>/<clip>/<frame>.png``.

    Args:
        run: folder of a trained network.
        dataset: data set name; its classes must be those of the network.
        to: folder to write.
        split: train, dev or test.
        form: ids (train ids, as ``etc tc`` reads them), labels (ids as in the label files), colours, overlay (colours
            over the frame), or cityscapes (the names and ids that its official evaluation reads, right in ``to``).
        labelled: only the frames that have a label.

    Returns:
        The closing line.

    Raises:
        UserError: the network or the frames are missing, or the classes are others.
    """
    data = Dataset(dataset)
    frames, label_set = data.frames, data.label_set
    network, config = weights.load(run)
    remedy = "give a network of these classes"
    weights.check_classes(run, config, label_set.names, f"the data set '{dataset}'", remedy)
    chosen = frames[(frames["split"] == split) & (frames["label"].ne("") | (not labelled))]
    if chosen.empty:
        raise UserError(f"{data.manifest}: no such frame in split '{split}'; choose another split")
    network = fused(network).to(choose_device("auto"), memory_format=torch.channels_last)
    predictions = predicted(network, data, chosen)
    if form == "cityscapes":
        count = cityscapes.write_label_ids(to, ((row, prediction) for row, _, prediction in predictions), label_set)
    else:
        count = 0
        for row, image, prediction in predictions:
            pixels = _drawn(form, image, prediction, label_set)
            with atomic(to / row["clip"] / f"{row['frame']:06d}.png", durable=False) as stream:
                stream.write(cv2.imencode(".png", pixels)[1].tobytes())
            count += 1
    return f"{count} predictions of {run} in {to}"


def predicted(
    network: nn.Module, dataset: Dataset, frames: pd.DataFrame
) -> Iterator[tuple[dict, np.ndarray, np.ndarray]]:
    """Row, image (H, W, 3) RGB and prediction (H, W) train ids, uint8, of every frame; each is looked at alone."""
    rows = frames.to_dict("records")
    for row in track(rows, len(rows), "predict"):
        image = dataset.image(row)
        yield row, image, predict(network, image[None], batch=1)[0]


def _drawn(form: Form, image: np.ndarray, prediction: np.ndarray, label_set: LabelSet) -> np.ndarray:
    """What goes into the PNG, as OpenCV writes it: grey or BGR."""
    if form == "ids":
        return prediction
    if form == "labels" and not label_set.in_colours:
        return label_set.decode(prediction)
    if form == "overlay":
        return np.ascontiguousarray(overlay(image, prediction, label_set, OPACITY)[..., ::-1])
    return np.ascontiguousarray(label_set.colour(prediction)[..., ::-1])
