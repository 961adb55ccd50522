"""Flip rate: how often a pixel changes its class twice within three frames.

Pixel p of frame t-1 is followed along the flow, p' = p + round(F_{t-1->t}(p)) and p'' = p' + round(F_{t->t+1}(p')), and
with L the predictions

    flips   = #{p : L_{t-1}(p) != L_t(p') and L_t(p') != L_{t+1}(p'')}
    counted = #{p : p' and p'' inside the frame, visible where visibility is known, none of the three ids ignored}

    flip rate = sum of flips over all triples of frames / sum of counted

The three classes may all differ; going back to the first one is not asked for. A boundary that passes a pixel once
changes its class once and does not count, a flickering pixel does.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from etc.evaluation.iou import IGNORE
from etc.flow.warp import warp_labels_only


class FlipCounts(NamedTuple):
    """Counts of one triple of frames, or of many.

    Attributes:
        flips: pixels whose class changes twice.
        counted: pixels followed over three frames.
    """

    flips: int
    counted: int


def flip_counts(
    labels: tuple[np.ndarray, np.ndarray, np.ndarray],
    flows: tuple[np.ndarray, np.ndarray],
    visible: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> FlipCounts:
    """Count the flips of one triple of frames.

    Args:
        labels: predictions of t-1, t, t+1, each uint8 (H, W), 255 = not counted.
        flows: F_{t-1->t} and F_{t->t+1}, each float32 (H, W, 2), pixels.
        visible: bool (H, W) for each flow: pixels of its first frame that are seen in its second; None = all.

    Raises:
        UserError: sizes differ, or a flow has NaN or infinite values.
    """
    before, now, after = labels
    after = _seen(after, flows[1], visible[1])
    now = _seen(now, flows[0], visible[0])
    after = _seen(after, flows[0], visible[0])
    counted = (before != IGNORE) & (now != IGNORE) & (after != IGNORE)
    flips = counted & (before != now) & (now != after)
    return FlipCounts(int(np.count_nonzero(flips)), int(np.count_nonzero(counted)))


def flip_rate(counts: Iterable[FlipCounts]) -> float:
    """Share of followed pixels that flip, 0 to 1; NaN when none was followed."""
    flips, counted = (sum(column) for column in zip(FlipCounts(0, 0), *counts, strict=True))
    return flips / counted if counted else float("nan")


def _seen(label: np.ndarray, flow: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    warped = warp_labels_only(label, flow, outside=IGNORE)
    if visible is not None:
        warped[~visible] = IGNORE
    return warped
