"""Exact optical flow and visibility between two rendered frames: what a pixel sees, moved and projected again."""

import numpy as np

from etc.datasets.render import Renderer, View

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
    scene = renderer.scene
    camera = scene.cameras[s]
    place = _transform(camera @ scene.poses[s, 0], view.points)
    infinite = view.triangle < 0
    rotated = camera[:3, :3].astype(np.float32) @ view.points[:, infinite]
    place[:, infinite] = rotated
    body = scene.body[view.triangle]
    moving = np.flatnonzero((body > 0) & ~infinite)
    if len(moving):
        matrices = (camera @ scene.poses[s]).astype(np.float32)[body[moving]]
        points = view.points[:, moving]
        place[:, moving] = np.einsum("mij,jm->im", matrices[:, :3, :3], points) + matrices[:, :3, 3].T
    ahead = place[2] > NEAR
    depth = np.where(ahead, place[2], np.float32(NEAR))
    x = np.float32(renderer.focal) * place[0] / depth + np.float32(renderer.centre[0])
    y = np.float32(renderer.focal) * place[1] / depth + np.float32(renderer.centre[1])
    column, row = np.rint(x), np.rint(y)
    inside = ahead & (column >= 0) & (column < renderer.width) & (row >= 0) & (row < renderer.height)
    index = (np.where(inside, row, 0) * renderer.width + np.where(inside, column, 0)).astype(np.int32)
    nearness = np.where(infinite, np.float32(0), 1 / depth)
    there = target.nearness[index]
    on_plane = there + target.slope[0, index] * (x - column) + target.slope[1, index] * (y - row)
    allowed = nearness * (RELATIVE_TOLERANCE + ABSOLUTE_TOLERANCE * nearness)
    same = np.minimum(np.abs(on_plane - nearness), np.abs(there - nearness)) <= allowed
    limit = np.float32(2 * renderer.width)
    flow = np.clip(np.stack([x - renderer.grid[0], y - renderer.grid[1]], axis=1), -limit, limit)
    shape = (renderer.height, renderer.width)
    return flow.reshape(*shape, 2), (inside & same).reshape(shape)


def _transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return matrix[:3, :3].astype(np.float32) @ points + matrix[:3, 3:].astype(np.float32)
