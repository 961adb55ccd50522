"""Predictions of a trained network on the frames of a data set, as files."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from torch import nn

from etc.core.errors import UserError, many
from etc.core.files import atomic
from etc.core.outputs import check_folder, together
from etc.core.progress import track
from etc.dataset import location
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import LABEL_SETS, LabelSet
from etc.dataset.manifest import Row
from etc.inference import predict
from etc.measure.pairing import plan_clips, unpredicted_clips
from etc.models import weights
from etc.models.memory import is_out_of_memory
from etc.prediction import cityscapes
from etc.prediction.network import load
from etc.prediction.sources import chosen_frames
from etc.reporting.video import overlay
from etc.sources.folder.layouts import FRAME_SUFFIXES, ID_SUFFIXES, read_folder

Form = Literal["ids", "labels", "colours", "overlay", "cityscapes"]
OPACITY = 0.6  # share of the class colour in an overlay


def write(run: Path, dataset: str, to: Path, split: str, form: Form, labelled: bool, force: bool = False) -> str:
    """Predict the frames of one split, or of all, and write one PNG a frame, ``<to>/<clip>/<frame>.png``.

    Args:
        run: folder of a trained network.
        dataset: name of the data set; the network must have its classes.
        to: folder to write.
        split: train, dev, test or all.
        form: ids (train ids, as ``etc tc`` reads them), labels (ids as in the label files), colours, overlay (colours
            over the frame), or cityscapes (the names and ids that its official evaluation reads, directly in ``to``).
        labelled: only frames that have a label.
        force: replace files that were made here before.

    Returns:
        The closing line; for ids with a second one, how to measure their consistency.

    Raises:
        UserError: the network or the frames are missing, their classes differ, or ``to`` holds a file in the way that
            was not made by this function, or was and is not to be replaced. Nothing is written then.
    """
    data = Dataset(dataset)
    chosen, label_set = chosen_frames(data, split, labelled), data.label_set
    network, config = load(run)
    remedy = "give a network of these classes"
    weights.check_classes(run, config, label_set.names, f"the data set '{dataset}'", remedy)
    name = cityscapes.file_name if form == "cityscapes" else _file_name
    places = (data.root, location.external(data.root), data.manifest, run / weights.WEIGHTS, run / weights.CONFIG)
    names = [name(row) for row in chosen.to_dict("records")]
    check_folder(to, names, filter(None, places))
    if not force and (there := next((to / one for one in names if (to / one).exists()), None)):
        raise UserError(f"{there}: exists; replace what was made here with --force, or choose another folder")
    predictions = predicted(network, data, chosen)
    with together(to):
        if form == "cityscapes":
            cityscapes.write_label_ids(to, ((row, prediction) for row, _, prediction in predictions), label_set)
        else:
            for row, image, prediction in predictions:
                with atomic(to / _file_name(row), durable=False) as stream:
                    stream.write(cv2.imencode(".png", _drawn(form, image, prediction, label_set))[1].tobytes())
    line = f"{many(len(chosen), 'prediction')} of {run} in {to}"
    return f"{line}\n{_next_step(to, data, chosen, split)}" if form == "ids" else line


def predicted(
    network: nn.Module, dataset: Dataset, frames: pd.DataFrame
) -> Iterator[tuple[dict, np.ndarray, np.ndarray]]:
    """Row, image (H, W, 3) RGB and prediction (H, W) train ids, uint8, of every frame, each predicted alone.

    Raises:
        UserError: a frame is missing, damaged or too large for the memory, or its scores are not finite.
    """
    rows = frames.to_dict("records")
    for row in track(rows, len(rows), "predict"):
        image = dataset.image(row)
        try:
            prediction = predict(network, image[None], batch=1)[0]
        except UserError as error:
            path, size = location.locate(dataset.root, row["image"]), f"{row['width']}x{row['height']}"
            if error.__cause__ is None or not is_out_of_memory(error.__cause__):
                raise UserError(f"{path}: {error}") from error
            raise UserError(
                f"{path}: out of memory for {size} pixels; use smaller frames or a smaller network"
            ) from error
        yield row, image, prediction


def _drawn(form: Form, image: np.ndarray, prediction: np.ndarray, label_set: LabelSet) -> np.ndarray:
    """What goes into the PNG, as OpenCV writes it: grey or BGR."""
    if form == "ids":
        return prediction
    if form == "labels" and not label_set.in_colours:
        return label_set.decode(prediction)
    if form == "overlay":
        return np.ascontiguousarray(overlay(image, prediction, label_set, OPACITY)[..., ::-1])
    return np.ascontiguousarray(label_set.colour(prediction)[..., ::-1])


def _file_name(row: Row) -> str:
    return f"{row['clip']}/{row['frame']:06d}.png"


def _next_step(to: Path, dataset: Dataset, chosen: pd.DataFrame, split: str) -> str:
    """The ``etc tc`` command for these predictions, where the folder of their frames fits them."""
    # Made frames lie below the project, foreign ones anywhere.
    frames = Path(
        os.path.commonpath([location.locate(dataset.root, name).parent.absolute() for name in chosen["image"]])
    )
    frames = frames.relative_to(Path.cwd()) if frames.is_relative_to(Path.cwd()) else frames
    if problem := _misfit(to, frames, split):
        return f"`etc tc` would refuse them with --frames {frames}: {problem}"
    arguments = ["etc", "tc", "--predictions", to, "--frames", frames]
    label_set = dataset.label_set
    arguments += ["--label-set", label_set.name] if label_set in LABEL_SETS.values() else ["--classes", label_set.count]
    return f"Their frames are in {frames}; to measure their consistency: {shlex.join(map(str, arguments))}"


def _misfit(to: Path, frames: Path, split: str) -> str:
    """Why the frames of a folder are not, by name, those of the predictions; empty when they are."""
    try:
        predictions, folder = read_folder(to, ID_SUFFIXES), read_folder(frames, FRAME_SUFFIXES)
    except UserError as error:
        return str(error)
    skipped = [pair.reason for plan in plan_clips(predictions, folder) for pair in plan.skipped]
    unpredicted = unpredicted_clips(predictions, folder)
    remedy = "" if split == "all" else "; predict with --split all"
    others = [f"it also holds clip {name}, which has no prediction{remedy}" for name in unpredicted]
    return next(iter([*predictions.strays, *folder.strays, *skipped, *others]), "")
