"""Which triangle a ray meets first, the same on every processor.

Embree decides quickly, but its kernels differ between processors in the last bits, and those bits decide a ray that
passes close to an edge. Every ray is therefore cast as a bundle of rays around it. Where the whole bundle meets the
same triangle, last bits cannot change that; the few other rays are decided again among all triangles, in float64 and
without fused operations. Faces that lie in one plane and overlap must not be in a scene: there, all bits decide.
"""

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from etc.sources.street.products import dot

# Corners around the middle, so that any edge close to it parts them.
TRIANGLE = np.array([[1.0, 0.0], [-0.5, 0.8660254], [-0.5, -0.8660254]])
_BLOCK = 64  # rays that are decided in float64 at once


class Mesh:
    """Triangles that rays can be cast at.

    Args:
        corners: float32 (N, 3, 3), N >= 1, in the world, metres.
        ids: int32 (N,), the number that stands for each triangle in results.
    """

    def __init__(self, corners: np.ndarray, ids: np.ndarray) -> None:
        self.corners = np.ascontiguousarray(corners, np.float32)
        self.ids = ids
        self.embree = EmbreeScene()
        # The same scene is built in less time from numbered corners than from triangles.
        numbers = np.arange(3 * len(ids), dtype=np.int32).reshape(-1, 3)
        TriangleMesh(self.embree, self.corners.reshape(-1, 3), numbers)


def first_met(meshes: list[Mesh], origin: np.ndarray, directions: np.ndarray, bundle: np.ndarray) -> np.ndarray:
    """The triangle that each ray meets first.

    Args:
        meshes: what can be met.
        origin: float32 (3,), where all rays start.
        directions: float32 (M, 3).
        bundle: float32 (K, 3), what is added to a direction for each ray of its bundle.

    Returns:
        int32 (M,), ids of triangles, -1 = none.
    """
    bundles = (directions[:, None] + bundle).reshape(-1, 3)
    met = _first(meshes, np.broadcast_to(origin, bundles.shape), bundles).reshape(-1, len(bundle))
    found = met[:, 0].copy()
    for block in _divided(met):
        nearest, found[block] = np.inf, -1
        for mesh in meshes:
            distance = _distances(mesh, origin[None], directions[block])
            which = distance.argmin(axis=1)
            distance = distance[np.arange(len(block)), which]
            found[block] = np.where(distance < nearest, mesh.ids[which], found[block])
            nearest = np.minimum(distance, nearest)
    return found


def blocked(meshes: list[Mesh], points: np.ndarray, direction: np.ndarray, bundle: np.ndarray) -> np.ndarray:
    """Whether anything lies between points and a light that is infinitely far away.

    Args:
        meshes: what can be in the way.
        points: float32 (M, 3), metres.
        direction: float32 (3,), to the light.
        bundle: float32 (K, 3), what is added to a point for each ray of its bundle.

    Returns:
        bool (M,).
    """
    starts = (points[:, None] + bundle).reshape(-1, 3)
    met = _any(meshes, starts, direction).reshape(-1, len(bundle))
    found = met[:, 0].copy()
    for block in _divided(met):
        hits = [np.isfinite(_distances(mesh, points[block], direction[None])).any(axis=1) for mesh in meshes]
        found[block] = np.any(hits, axis=0)
    return found


def _divided(met: np.ndarray) -> list[np.ndarray]:
    """Numbers of the bundles, of (M, K), whose rays do not agree, in blocks."""
    close = np.flatnonzero((met != met[:, :1]).any(axis=1))
    return np.split(close, range(_BLOCK, len(close), _BLOCK))


def _first(meshes: list[Mesh], origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    found, distance = np.full(len(directions), -1, np.int32), None
    for mesh in meshes:
        if distance is None:
            hit = mesh.embree.run(origins, directions, output=True)
            nearer, distance = hit["primID"], hit["tfar"]
        else:
            nearer = mesh.embree.run(origins, directions, dists=distance)
        at = np.flatnonzero(nearer >= 0)
        found[at] = np.take(mesh.ids, np.take(nearer, at))
    return found


def _any(meshes: list[Mesh], starts: np.ndarray, direction: np.ndarray) -> np.ndarray:
    found = np.zeros(len(starts), bool)
    for mesh in meshes:
        at = np.flatnonzero(~found)
        if len(at):
            found[at] = mesh.embree.run(np.take(starts, at, axis=0), direction[None], query="OCCLUDED") >= 0
    return found


def _distances(mesh: Mesh, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distance at which rays (M, 3) meet the triangles of a mesh, float64 (M, N), infinite where they do not.

    Möller and Trumbore, "Fast, Minimum Storage Ray/Triangle Intersection", 1997. One of origins and directions may
    be a single row.
    """
    corners = mesh.corners.astype(np.float64).transpose(1, 2, 0)
    first, second, third = (corner[:, None] for corner in corners)
    start, way = (np.asarray(one, np.float64).T[..., None] for one in (origins, directions))
    one, other, offset = second - first, third - first, start - first
    normal = np.cross(way, other, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 / dot(one, normal)
        u = dot(offset, normal) * share
        side = np.cross(offset, one, axis=0)
        v = dot(way, side) * share
        distance = dot(other, side) * share
        return np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 0), distance, np.inf)
