"""Triangle meshes of simple shapes, the bricks of the procedural street.

Every function returns float32 (N, 3, 3): N triangles of three corners of x (right), y (up), z (forward) in metres,
with normals that point outwards (``cross(b - a, c - a)``).
"""

import functools

import numpy as np

from etc.sources.street.products import product

_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
_BOX = np.concatenate([_QUADS[:, [0, 1, 2]], _QUADS[:, [0, 2, 3]]])


def box(size: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    """Axis-parallel box, 12 triangles."""
    return (_SIGNS * np.asarray(size, np.float32) / 2 + np.asarray(centre, np.float32))[_BOX]


def prism(profile: np.ndarray, width: float) -> np.ndarray:
    """Convex outline (K, 2) in (z, y), any winding, drawn out along x from -width/2 to width/2."""
    profile = np.asarray(profile, np.float32)
    count = len(profile)
    here, after = np.arange(count), (np.arange(count) + 1) % count
    z, y = profile.T
    if np.sum(z * y[after] - z[after] * y) > 0:
        profile = profile[::-1]
    # The outline on the left, then the one on the right.
    corners = np.empty((2 * count, 3), np.float32)
    corners[:count, 0], corners[count:, 0] = -width / 2, width / 2
    corners[:count, 1:] = corners[count:, 1:] = profile[:, ::-1]
    left, right = here, here + count
    sides = np.stack([left, left[after], right[after], left, right[after], right], axis=1)
    fan = here[1:-1]
    ends = np.stack([0 * fan, fan + 1, fan, right[0 * fan], right[fan], right[fan + 1]], axis=1)
    return corners[np.concatenate([sides, ends]).reshape(-1, 3)]


def wheel(radius: float, width: float, centre: tuple[float, float, float], sides: int = 10) -> np.ndarray:
    """Cylinder whose axis is x."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    outline = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return prism(outline, width) + np.asarray(centre, np.float32)


def blob(
    radii: tuple[float, float, float],
    centre: tuple[float, float, float],
    rng: np.random.Generator,
    roughness: float,
    rings: int = 5,
    segments: int = 8,
) -> np.ndarray:
    """Ellipsoid with corners moved in or out by up to ``roughness`` times the radius."""
    scale = 1 + rng.uniform(-roughness, roughness, (rings + 1, segments, 1))
    scale[[0, -1]] = 1
    corners = (_sphere(rings, segments) * scale * np.asarray(radii) + np.asarray(centre)).astype(np.float32)
    following = np.roll(corners, -1, axis=1)
    # One of a quad's two triangles has no area at a pole.
    first = np.stack([corners[:-1], following[1:], corners[1:]], axis=2)[:-1]
    second = np.stack([corners[:-1], following[:-1], following[1:]], axis=2)[1:]
    return np.concatenate([first.reshape(-1, 3, 3), second.reshape(-1, 3, 3)])


def turned(triangles: np.ndarray, yaw: float, offset: tuple[float, float, float]) -> np.ndarray:
    """Turn about the vertical axis by ``yaw`` radians (z towards x), then move by ``offset``."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return (product(triangles, rotation.T) + np.asarray(offset)).astype(np.float32)


@functools.cache
def _sphere(rings: int, segments: int) -> np.ndarray:
    """Unit sphere of latitudes and longitudes, float64 (rings + 1, segments, 3)."""
    polar = np.pi * np.arange(rings + 1) / rings
    around = 2 * np.pi * np.arange(segments) / segments
    return np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.cos(polar)[:, None] * np.ones(segments),
            np.sin(polar)[:, None] * np.sin(around),
        ],
        axis=-1,
    )
