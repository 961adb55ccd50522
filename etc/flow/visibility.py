"""Visibility from two flows: the forward-backward check.

Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010:
a pixel is visible when the way there and back ends close to its start.
"""

import numpy as np

from etc.core.errors import UserError
from etc.flow.warp import warp_image


def forward_backward_visible(
    forward: np.ndarray, backward: np.ndarray, relative: float = 0.01, absolute: float = 0.5
) -> np.ndarray:
    """Pixels of frame t that are also seen in frame s.

    ``|F(p) + B(p + F(p))|^2 < relative * (|F(p)|^2 + |B(p + F(p))|^2) + absolute``, with B sampled bilinearly.
    Pixels that leave the frame are not visible.

    Args:
        forward: F_{t->s}, float32 (H, W, 2), pixels.
        backward: B = F_{s->t}, float32 (H, W, 2), pixels.
        relative: tolerated share of the squared motion.
        absolute: tolerated squared error in square pixels.

    Returns:
        bool (H, W) on the grid of frame t.

    Raises:
        UserError: the shapes differ, or a flow has NaN or infinite values.
    """
    if forward.shape != backward.shape:
        raise UserError(f"forward flow {forward.shape} and backward flow {backward.shape} differ in shape")
    returned, inside = warp_image(backward, forward)
    error = np.square(forward + returned).sum(axis=2)
    motion = np.square(forward).sum(axis=2) + np.square(returned).sum(axis=2)
    return inside & (error < relative * motion + absolute)
