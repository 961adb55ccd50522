"""Flip rate: how often a pixel changes its class twice within three frames.

Pixel p of frame t-1 is followed along the flow, p' = p + round(F_{t-1->t}(p)) and p'' = p' + round(F_{t->t+1}(p')), and
with L the predictions

    flips   = #{p : L_{t-1}(p) != L_t(p') and L_t(p') != L_{t+1}(p'')}
    counted = #{p : p' and p'' inside the frame, visible where visibility is known, none of the three ids ignored}

    flip rate = sum of flips over all triples of frames / sum of counted

The three classes may all differ; the third need not equal the first. A boundary that passes a pixel once
changes its class once and does not count, a flickering pixel does.

Each pair of frames is reduced to a change map; the flips of a triple are counted from two of them.
"""

from typing import NamedTuple

import numpy as np

from etc.dataset.label_sets import IGNORE
from etc.evaluation.protocols import seen_from


class FlipCounts(NamedTuple):
    """Counts of one triple of frames, or of many.

    Attributes:
        flips: pixels whose class changes twice.
        counted: pixels followed over three frames.
    """

    flips: int
    counted: int


def change_map(now: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Where the class changes: uint8 (H, W), 1 changed, 0 not, 255 not known.

    Args:
        now: prediction of frame t, uint8 (H, W), 255 = not counted.
        seen: prediction of frame t+1 as frame t sees it, see ``etc.evaluation.protocols.seen_from``.
    """
    changed = (now != seen).view(np.uint8)
    changed[(now == IGNORE) | (seen == IGNORE)] = IGNORE
    return changed


def flip_counts(
    before: np.ndarray, after: np.ndarray, flow: np.ndarray, visible: np.ndarray | None = None
) -> FlipCounts:
    """Count the flips of frames t-1, t, t+1.

    Args:
        before: change map of t-1 and t, on the grid of frame t-1.
        after: change map of t and t+1, on the grid of frame t.
        flow: F_{t-1->t}, float32 (H, W, 2), pixels: the flow used to make ``before``.
        visible: bool (H, W) on the grid of frame t-1; None = all.

    Raises:
        UserError: sizes differ, or the flow has NaN or infinite values.
    """
    after = seen_from(after, flow, visible)
    flips = np.count_nonzero((before == 1) & (after == 1))
    return FlipCounts(int(flips), int(np.count_nonzero((before != IGNORE) & (after != IGNORE))))
