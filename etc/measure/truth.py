"""Figures that need truth: mIoU on labelled frames, and VC_n on runs of labelled frames, of one clip."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE
from etc.evaluation.iou import confusion_matrix
from etc.measure.vc import WindowCounter, WindowCounts
from etc.sources.folder.layouts import one_step

VC_LENGTHS = (8, 16)
Load = Callable[[int], np.ndarray]


class TruthCounts(NamedTuple):
    """Counts of one clip.

    Attributes:
        confusion: int64 (C, C), row = truth, column = prediction, over the labelled frames.
        frames: labelled frames.
        windows: VC length to the counts of its windows.
    """

    confusion: np.ndarray
    frames: int
    windows: dict[int, WindowCounts]


def truth_counts(
    prediction: Load,
    truth: Load,
    numbers: Sequence[int],
    step: int | None,
    classes: int,
    describe: Callable[[int], str] = "frame {}".format,
    lengths: Sequence[int] = VC_LENGTHS,
    ignored: Sequence[int] = (IGNORE,),
) -> TruthCounts:
    """Compare one clip's predictions with its truth, two frames in memory at a time; each is read once.

    Args:
        prediction: frame number to ids, uint8 (H, W).
        truth: frame number to ids, uint8 (H, W), 255 = ignore.
        numbers: the frames that have both, sorted.
        step: difference of consecutive labelled frames. A window of VC_n is n labelled frames this far apart; a larger
            distance ends a run.
        classes: C.
        describe: frame number to the name of its truth in messages, e.g. its file.
        lengths: window lengths n.
        ignored: the ids that 255 in the predictions stands for, for messages.

    Raises:
        UserError: sizes differ, or the prediction ignores a pixel that the truth labels; the line names the frame.
    """
    confusion = np.zeros((classes, classes), np.int64)
    counters = []
    for run in _runs(numbers, step):
        counters.append(WindowCounter(lengths))
        for number in run:
            answer, right = prediction(number), truth(number)
            try:
                confusion += confusion_matrix(answer, right, classes, ignored=ignored)
                counters[-1].add(answer, right)
            except UserError as error:
                raise UserError(f"{describe(number)}: {error}") from error
    windows = {length: _joined([counter.counts(length) for counter in counters]) for length in lengths}
    return TruthCounts(confusion, len(numbers), windows)


def _joined(runs: Sequence[WindowCounts]) -> WindowCounts:
    empty = np.zeros((len(WindowCounts._fields), 0), np.int64)
    return WindowCounts(*(np.concatenate(parts) for parts in zip(empty, *runs, strict=True)))


def _runs(numbers: Sequence[int], step: int | None) -> Iterator[list[int]]:
    run = list(numbers[:1])
    for before, number in pairwise(numbers):
        if step is None or not one_step(before, number, step):
            yield run
            run = []
        run.append(number)
    if run:
        yield run
