"""Triangle meshes of simple shapes, the bricks of the procedural street.

Every function returns float32 (N, 3, 3): N triangles of three corners of x (right), y (up), z (forward) in metres,
with normals that point outwards (``cross(b - a, c - a)``).
"""

import numpy as np


def box(size: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    """Axis-parallel box, 12 triangles."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    corners = signs * np.asarray(size, np.float32) / 2 + np.asarray(centre, np.float32)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return corners[np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])]


def prism(profile: np.ndarray, width: float) -> np.ndarray:
    """Convex outline (K, 2) in (z, y), any winding, drawn out along x from -width/2 to width/2."""
    profile = np.asarray(profile, np.float32)
    z, y = profile.T
    if np.sum(z * np.roll(y, -1) - np.roll(z, -1) * y) > 0:
        profile = profile[::-1]
    count = len(profile)
    left, right = (np.insert(profile[:, ::-1], 0, x, axis=1) for x in (-width / 2, width / 2))
    triangles = []
    for k in range(count):
        n = (k + 1) % count
        triangles += [(left[k], left[n], right[n]), (left[k], right[n], right[k])]
    for k in range(1, count - 1):
        triangles += [(left[0], left[k + 1], left[k]), (right[0], right[k], right[k + 1])]
    return np.array(triangles, np.float32)


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
    polar = np.pi * np.arange(rings + 1) / rings
    around = 2 * np.pi * np.arange(segments) / segments
    sphere = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.cos(polar)[:, None] * np.ones(segments),
            np.sin(polar)[:, None] * np.sin(around),
        ],
        axis=-1,
    )
    scale = 1 + rng.uniform(-roughness, roughness, (rings + 1, segments, 1))
    scale[[0, -1]] = 1
    corners = (sphere * scale * np.asarray(radii) + np.asarray(centre)).astype(np.float32)
    following = np.roll(corners, -1, axis=1)
    # One of a quad's two triangles has no area at a pole.
    first = np.stack([corners[:-1], following[1:], corners[1:]], axis=2)[:-1]
    second = np.stack([corners[:-1], following[:-1], following[1:]], axis=2)[1:]
    return np.concatenate([first.reshape(-1, 3, 3), second.reshape(-1, 3, 3)])


def turned(triangles: np.ndarray, yaw: float, offset: tuple[float, float, float]) -> np.ndarray:
    """Turn about the vertical axis by ``yaw`` radians (z towards x), then move by ``offset``."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return (triangles @ rotation.T + np.asarray(offset)).astype(np.float32)
