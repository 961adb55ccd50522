"""Exact optical flow and visibility between two rendered frames: the point that a pixel sees, moved and reprojected."""

import numpy as np

from etc.sources.street.products import product
from etc.sources.street.render import Renderer, View

NEAR = 0.05  # metres; a point nearer to the camera plane than this has no projection
RELATIVE_TOLERANCE = 0.005  # a point is the seen surface when its depth agrees to this share ...
ABSOLUTE_TOLERANCE = 0.02  # ... plus this many metres


def flow_between(renderer: Renderer, view: View, s: int, target: View) -> tuple[np.ndarray, np.ndarray]:
    """Exact flow from ``view`` to frame ``s``, whose view is ``target``.

    A pixel is visible when it lands inside frame ``s`` and the pixel nearest to where it lands sees the same
    surface. A point behind the camera, or more than two frame widths away, has its flow cut to that length.

    Returns:
        flow float32 (H, W, 2) in pixels (dx, dy), visible bool (H, W).
    """
    place = _places(renderer, view, s)
    ahead = place[2] > NEAR
    depth = np.where(ahead, place[2], np.float32(NEAR))
    x = np.float32(renderer.focal) * place[0] / depth + np.float32(renderer.centre[0])
    y = np.float32(renderer.focal) * place[1] / depth + np.float32(renderer.centre[1])
    column, row = np.rint(x), np.rint(y)
    inside = ahead & (column >= 0) & (column < renderer.width) & (row >= 0) & (row < renderer.height)
    index = (row * inside * renderer.width + column * inside).astype(np.intp)
    nearness = (view.triangle >= 0) / depth
    there = np.take(target.nearness, index)
    slope_x, slope_y = (np.take(slope, index) for slope in target.slope)
    on_plane = there + slope_x * (x - column) + slope_y * (y - row)
    allowed = nearness * (RELATIVE_TOLERANCE + ABSOLUTE_TOLERANCE * nearness)
    same = np.minimum(np.abs(on_plane - nearness), np.abs(there - nearness)) <= allowed
    limit = np.float32(2 * renderer.width)
    flow = np.clip(np.stack([x - renderer.grid[0], y - renderer.grid[1]], axis=1), -limit, limit)
    shape = (renderer.height, renderer.width)
    return flow.reshape(*shape, 2), (inside & same).reshape(shape)


def _places(renderer: Renderer, view: View, s: int) -> np.ndarray:
    """Where what ``view`` sees is in frame ``s``, in its camera's axes, float32 (3, P); a direction for the sky."""
    scene = renderer.scene
    matrices = product(scene.cameras[s], scene.poses[s]).astype(np.float32)
    solid = view.triangle >= 0
    # The sky is infinitely far away: the camera's position does not matter.
    place = product(matrices[0, :3, :3], view.points) + matrices[0, :3, 3:] * solid
    body = np.take(scene.body, view.triangle) * solid
    moving = np.flatnonzero(body)
    if len(moving):
        movement = np.take(matrices, np.take(body, moving), axis=0)
        place[:, moving] = (
            np.einsum("mij,jm->im", movement[:, :3, :3], np.take(view.points, moving, axis=1)) + movement[:, :3, 3].T
        )
    return place
