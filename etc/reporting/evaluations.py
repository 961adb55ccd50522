"""What the report knows about each run: counts by clip, from the tables that the stage ``evaluate`` writes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from etc.evaluation.iou import IouCounts, iou_counts, total
from etc.params.experiment import Run


class ClipCounts(NamedTuple):
    """Counts of one run by clip.

    Attributes:
        clips: names, sorted; none where nothing could be counted.
        counts: with an axis of clips in front, e.g. intersections (clips, C).
    """

    clips: tuple[str, ...]
    counts: IouCounts

    def pooled(self) -> IouCounts:
        """Counts over all clips."""
        return total(self.counts)

    def of(self, classes: np.ndarray) -> "ClipCounts":
        """Intersections and unions of some of the classes, a mask bool (C,)."""
        chosen = (getattr(self.counts, part)[:, classes] for part in ("intersection", "union"))
        return ClipCounts(self.clips, IouCounts(*chosen, self.counts.same, self.counts.counted))

    def alike(self) -> "ClipCounts":
        """Pixels with the same class, of all that were compared, in the place of one class: the ratio is agreement."""
        same, counted = self.counts.same, self.counts.counted
        return ClipCounts(self.clips, IouCounts(same[:, None], counted[:, None], same, counted))


class Made(NamedTuple):
    """What an evaluation says of itself.

    Attributes:
        portable: whether training and evaluation ran with the settings of :mod:`etc.core.portable`.
        parameters: of the network, those that only training uses left out.
        gmac: 1e9 multiply-accumulates for one frame.
    """

    portable: bool
    parameters: int
    gmac: float


@dataclass(frozen=True)
class Evaluation:
    """One run, or the labeller or teacher of its chain.

    Attributes:
        run: architecture, scheme and seed. Of labeller and teacher the architecture of their students; their scheme is
            ``labeller`` or ``teacher``.
        iou: predictions against the truth, on labelled frames.
        tc: pairs of predictions under ``corrected``, by the flow that judges.
        tc_visible: the same under ``occlusion_aware``.
        tc_compare: the same under ``corrected``, by the flow to compare with.
        iterations: training iterations.
        made: how it was made.
    """

    run: Run
    iou: ClipCounts
    tc: ClipCounts
    tc_visible: ClipCounts
    tc_compare: ClipCounts
    iterations: int
    made: Made

    @classmethod
    def from_tables(
        cls, run: Run, iou: pd.DataFrame, tc: pd.DataFrame, classes: int, iterations: int, made: Made
    ) -> "Evaluation":
        """From the tables of the stage ``evaluate``, see ``etc.stages.evaluate.run``; ``classes`` is C."""
        return cls(
            run,
            _iou_counts(iou, classes),
            _tc_counts(tc, classes, "evaluate", "corrected"),
            _tc_counts(tc, classes, "evaluate", "occlusion_aware"),
            _tc_counts(tc, classes, "compare", "corrected"),
            iterations,
            made,
        )


def _iou_counts(table: pd.DataFrame, classes: int) -> ClipCounts:
    clips, sums = _by_clip(table, classes, ["tp", "fp", "fn"])
    return ClipCounts(clips, iou_counts(*sums))


def _tc_counts(table: pd.DataFrame, classes: int, flow: str, protocol: str) -> ClipCounts:
    chosen = table[(table["flow"] == flow) & (table["protocol"] == protocol)]
    columns = ["intersection", "union", "same", "counted"]
    clips, (intersection, union, same, counted) = _by_clip(chosen, classes, columns)
    # The last two belong to a pair, whose classes repeat them.
    return ClipCounts(clips, IouCounts(intersection, union, same[:, 0], counted[:, 0]))


def _by_clip(table: pd.DataFrame, classes: int, columns: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the clips and sums over their frames or pairs, int64 (columns, clips, classes)."""
    clip, clips = pd.factorize(table["clip"], sort=True)
    sums = np.zeros((len(columns), len(clips), classes), np.int64)
    for name, counts in zip(columns, sums, strict=True):
        np.add.at(counts, (clip, table["class"].to_numpy()), table[name].to_numpy())
    return tuple(clips), sums
