"""Warp error of class probabilities: how far the softmax outputs move along the flow.

With q_t the probabilities of frame t, W the bilinear backward warp and V the pixels p with p + round(F(p)) in the
frame, as in the protocol ``corrected`` (and that are visible, where visibility is used):

    warp error = sum over pairs, p in V of ||q_t(p) - W(q_{t+1}, F_{t->t+1})(p)||^2 / sum over pairs of |V|

It is the motion loss of the paper (section 3.1) without its weights: 0 for equal outputs, 2 for two certain and
different ones.
"""

from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError
from etc.flow.warp import inside_frame, warp_image


class WarpError(NamedTuple):
    """Sums of one pair of frames, or of many.

    Attributes:
        total: sum of squared distances.
        counted: pixels compared.
    """

    total: float
    counted: int


def warp_error(
    probabilities: np.ndarray, probabilities_next: np.ndarray, flow: np.ndarray, visible: np.ndarray | None = None
) -> WarpError:
    """Compare the probabilities of two frames.

    Args:
        probabilities: float (C, H, W) of frame t, each pixel summing to 1.
        probabilities_next: float (C, H, W) of frame t+1.
        flow: F_{t->t+1}, float32 (H, W, 2), pixels.
        visible: bool (H, W) on the grid of frame t; None = all.

    Raises:
        UserError: shapes differ, or the flow has NaN or infinite values.
    """
    if probabilities.shape != probabilities_next.shape or probabilities.ndim != 3:
        raise UserError(f"probabilities {probabilities.shape} and {probabilities_next.shape} of a pair differ in shape")
    counted = inside_frame(flow) if visible is None else inside_frame(flow) & visible
    distance = np.zeros(flow.shape[:2], np.float32)
    # Class by class: a stack of 19 full-size float maps would be the largest thing in memory.
    for now, after in zip(probabilities, probabilities_next, strict=True):
        warped, _ = warp_image(np.asarray(after, np.float32), flow)
        distance += np.square(np.asarray(now, np.float32) - warped)
    return WarpError(float(distance[counted].sum(dtype=np.float64)), int(np.count_nonzero(counted)))
