"""What makes figures doubtful: ids of labels and predictions that do not fit, and flow that cannot follow.

Nothing here stops a command. Each finding is one line, for the output and the JSON file.
"""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from etc.core.errors import many
from etc.dataset.label_sets import CITYSCAPES
from etc.evaluation.iou import mean_ratio
from etc.flow.warp import warp_image
from etc.sources.clip_names import first_names

# Below it, labels and predictions hardly agree anywhere: their ids mean different classes, or the network is untrained.
_LOWEST_MIOU = 0.05
# Frames that follow each other reach 0.9 and more, frames a second apart stay below 0.75; docs/tc.md has the figures.
LOWEST_CORRELATION = 0.8
# Standard deviations in pixels of the blurs whose difference leaves texture and edges, without noise and brightness.
_FINE, _COARSE = 1.0, 5.0
# Grey levels; less is rounding.
_LEAST_CONTRAST = 0.1


def warp_correlation(frame: np.ndarray, after: np.ndarray, flow: np.ndarray) -> float:
    """How well frame t+1, warped back, shows the texture and edges of frame t.

    Args:
        frame, after: frames t and t+1, uint8 (H, W, 3) RGB.
        flow: F_{t->t+1}, float32 (H, W, 2), pixels.

    Returns:
        Correlation of the two band-passed grey frames where the flow stays inside, -1 to 1; NaN without texture.

    Raises:
        UserError: sizes differ, or the flow has NaN or infinite values.
    """
    grey, grey_after = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (frame, after))
    warped, inside = warp_image(grey_after, flow)
    seen, expected = (_band(one)[inside] for one in (warped, grey))
    contrasts = [float(np.sqrt(np.dot(one, one))) for one in (seen, expected)]
    if min(contrasts) <= _LEAST_CONTRAST * np.sqrt(seen.size):
        return float("nan")
    return float(np.dot(seen, expected)) / (contrasts[0] * contrasts[1])


def flow_doubts(correlations: Mapping[str, float], steps: Iterable[int]) -> list[str]:
    """A line where clips' flow does not follow their frames.

    Args:
        correlations: clip to its ``warp_correlation``.
        steps: frame steps of the clips.
    """
    lost = {clip: value for clip, value in correlations.items() if value < LOWEST_CORRELATION}
    if not lost:
        return []
    at_steps = ", ".join(map(str, sorted(set(steps))))
    share = f"{len(lost)} of {many(len(correlations), 'clip')}"
    return [
        f"the flow does not follow the frames of {share} ({first_names(lost)}), frame "
        f"step {at_steps}: warped frames correlate {min(lost.values()):.2f} to {max(lost.values()):.2f} with the "
        f"frames before them, below {LOWEST_CORRELATION:.2f}. TC then shows errors of the flow: give frames closer in "
        "time, or check the flow's direction and unit"
    ]


def truth_doubts(confusion: np.ndarray, labels: str) -> list[str]:
    """Lines about labels whose ids do not fit the predictions.

    Args:
        confusion: int64 (C, C), row = truth, column = prediction, over all labelled frames.
        labels: folder of the labels.
    """
    pixels = confusion.sum()
    if not pixels:
        return []
    lines = []
    right = np.trace(confusion)
    sources = [ids[0] for ids in CITYSCAPES.sources]
    fit = [(train, one) for train, one in enumerate(sources) if one < len(confusion) and train < len(confusion)]
    train_ids, label_ids = (list(ids) for ids in zip(*fit, strict=True)) if fit else ([], [])
    cases = (
        (np.trace(confusion, offset=-1), "the predicted class plus 1: if 0 is void there, give --label-offset 1"),
        (np.trace(confusion, offset=1), "the predicted class minus 1: write predictions as class ids from 0"),
        (
            confusion[train_ids, label_ids].sum(),
            "the train id of a predicted Cityscapes label id: convert the predictions to train ids",
        ),
        (
            confusion[label_ids, train_ids].sum(),
            "the Cityscapes label id of a predicted train id: name such labels *_labelIds, or convert them",
        ),
    )
    for agreeing, what in cases:
        if 2 * agreeing > pixels and agreeing > right:
            lines.append(f"{labels}: {agreeing / pixels:.0%} of the labelled pixels hold {what}")
    if lines:
        return lines
    miou = mean_ratio(*_iou(confusion))
    if miou < _LOWEST_MIOU:
        lines.append(
            f"{labels}: mIoU is {miou:.2%}, as if ids meant other classes in labels and predictions; compare them, and "
            "see --label-offset and --label-set"
        )
    never = np.flatnonzero((confusion.sum(axis=1) == 0) & (confusion.sum(axis=0) > 0))
    if never.size:
        share = confusion[:, never].sum() / pixels
        lines.append(
            f"{labels}: no label holds class {', '.join(map(str, never))}, predicted for {share:.2%} of the labelled "
            "pixels; each counts as 0 in mIoU"
        )
    return lines


def label_id_doubts(present: Sequence[int], predictions: str) -> list[str]:
    """A line where all classes that were found are Cityscapes label ids of frequent classes below 19, and none is 0.

    Args:
        present: the classes that occur in the predictions.
        predictions: folder of the predictions.
    """
    label_ids = {ids[0]: name for name, ids in zip(CITYSCAPES.names, CITYSCAPES.sources, strict=True)}
    if len(present) < 2 or not set(present) <= label_ids.keys():
        return []
    means = ", ".join(f"{one} = {label_ids[one]}" for one in present)
    return [
        f"{predictions}: the only ids found are label ids of Cityscapes ({means}), no train id such as 0 = road; "
        "convert them to train ids if they are label ids"
    ]


def _iou(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    right = np.diag(confusion)
    return right, confusion.sum(axis=0) + confusion.sum(axis=1) - right


def _band(grey: np.ndarray) -> np.ndarray:
    grey = grey.astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), _FINE) - cv2.GaussianBlur(grey, (0, 0), _COARSE)
