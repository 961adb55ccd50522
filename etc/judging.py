"""A network judged on a clip: its predictions beside the labels, and beside the next prediction warped back."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from etc.dataset.dataset import Dataset
from etc.evaluation.consistency import Clip, PairResult, evaluate_pairs
from etc.evaluation.iou import confusion_matrix
from etc.flow.store import StoredFlow
from etc.inference import predict


class JudgedClip(NamedTuple):
    """What was found on one clip.

    Attributes:
        frames: N frame numbers.
        predictions: uint8 (N, H, W), train ids.
        confusions: of each labelled frame by number, int64 (C, C), row = truth.
        pairs: counts of each pair of neighbours, by the flow that judged it.
    """

    frames: list[int]
    predictions: np.ndarray
    confusions: dict[int, np.ndarray]
    pairs: dict[str, list[PairResult]]


def judge_clip(
    network: nn.Module,
    data: Dataset,
    rows: Sequence[Mapping[str, Any]],
    batch: int,
    judges: Mapping[str, Sequence[str]],
    seconds: list[float] | None = None,
) -> JudgedClip:
    """Judge a network on frames of one clip.

    Args:
        network: in evaluation mode.
        data: the data set.
        rows: of the manifest, in order of time; at least one.
        batch: frames per forward pass.
        judges: the protocols to count with by the purpose of the flow (params/flow.yaml); a clip of one frame needs no
            flow.
        seconds: gets those of each forward pass, see :func:`etc.inference.predict`.

    Raises:
        UserError: a frame, label or flow is missing or damaged, memory ran out, or scores are not finite.
    """
    clip, frames = rows[0]["clip"], [row["frame"] for row in rows]
    predictions = predict(network, np.stack([data.image(row) for row in rows]), batch, seconds)
    by_number = dict(zip(frames, predictions, strict=True))
    classes = data.label_set.count
    confusions = {
        row["frame"]: confusion_matrix(by_number[row["frame"]], data.label(row), classes)
        for row in rows
        if row["label"]
    }
    pairs = {}
    for judge, protocols in judges.items() if len(rows) > 1 else ():
        flow = StoredFlow(data.folder / "flow" / judge / f"{clip}.arrow")
        judged = Clip(clip, list(pairwise(frames)), by_number.__getitem__, flow)
        pairs[judge] = list(evaluate_pairs([judged], classes, protocols))
    return JudgedClip(frames, predictions, confusions, pairs)
