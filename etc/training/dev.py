"""Judging a network on the split ``dev`` while it trains: mIoU and TC, for learning curves."""

import copy
from typing import NamedTuple

import numpy as np
from torch import nn

from etc.core.errors import UserError
from etc.dataset.dataset import Dataset
from etc.evaluation.iou import iou_counts, mean_ratio, tp_fp_fn
from etc.evaluation.tc import DEFAULT_PROTOCOL, pool, temporal_consistency
from etc.flow.store import content_hash
from etc.judging import judge_clip
from etc.models.fused import fused

# Purpose of the flow in params/flow.yaml that judges TC, as for the tables.
FLOW = "evaluate"


class Judgement(NamedTuple):
    """One look at the split.

    Attributes:
        step: number of the last step before it, from 0.
        miou: percent; None without a label.
        tc: percent, protocol ``corrected``; None without a pair or without flow.
        seconds: training time before it, without that of judging.
    """

    step: int
    miou: float | None
    tc: float | None
    seconds: float


class DevJudge:
    """Judges networks on all clips of the split ``dev``.

    Args:
        data: the data set.
        batch: frames per forward pass.

    Raises:
        UserError: there is nothing to judge by: no label, and no flow of a clip of two frames.
    """

    def __init__(self, data: Dataset, batch: int) -> None:
        self._data, self._batch = data, batch
        frames = data.frames[data.frames["split"] == "dev"]
        self._clips = {clip: rows.to_dict("records") for clip, rows in frames.groupby("clip", sort=True)}
        paths = [data.folder / "flow" / FLOW / f"{clip}.arrow" for clip, rows in self._clips.items() if len(rows) > 1]
        # Where the flow of some clips is there, that of another is missing: reading it says so.
        self._flows = paths if any(path.is_file() for path in paths) else []
        if not self._flows and not any(row["label"] for rows in self._clips.values() for row in rows):
            raise UserError(
                f"{data.manifest}: the split 'dev' has no labelled frame, and no clip with flow ('{FLOW}' in "
                "params/flow.yaml): there is nothing to judge by; set 'training.judge_every' to null"
            )

    def inputs(self) -> dict[str, str]:
        """Hash of the content keys of the flow; the frames are those of the manifest.

        Raises:
            UserError: a file is missing or damaged.
        """
        return {"judging flow": content_hash(self._flows)}

    def __call__(self, network: nn.Module) -> tuple[float | None, float | None]:
        """mIoU over all labelled frames and TC over all pairs, percent; the network stays as it is, in training mode.

        Raises:
            UserError: a frame, label or flow is missing or damaged, or scores are not finite.
        """
        network = fused(copy.deepcopy(network).eval())
        judges = {FLOW: (DEFAULT_PROTOCOL,)} if self._flows else {}
        confusions, pairs = [], []
        for rows in self._clips.values():
            # Accuracy is over the labelled frames alone.
            seen = rows if judges and len(rows) > 1 else [row for row in rows if row["label"]]
            if seen:
                judged = judge_clip(network, self._data, seen, self._batch, judges)
                confusions += judged.confusions.values()
                pairs += [pair.counts[DEFAULT_PROTOCOL] for pair in judged.pairs.get(FLOW, ())]
        miou = tc = None
        if confusions:
            counts = iou_counts(*tp_fp_fn(np.sum(confusions, axis=0)))
            miou = _percent(mean_ratio(counts.intersection, counts.union))
        if pairs:
            tc = _percent(temporal_consistency(pool(pairs)))
        return miou, tc


def _percent(share: float) -> float | None:
    return None if np.isnan(share) else 100 * float(share)
