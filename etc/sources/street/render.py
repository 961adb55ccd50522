"""Ray casting of a scene: image, labels and what exact flow needs.

One ray goes through every pixel centre; its hit gives the colour, the label and the place of what is seen. Pixels on
the outline of an object or a shadow get more rays for the colour alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from etc.sources.street import rays, textures
from etc.sources.street.objects import LabelId, Material
from etc.sources.street.products import dot, product
from etc.sources.street.scene import FOCAL, Scene

# Rows of the per-triangle table, see _Frame._table.
_NORMAL, _PLANE, _U, _V = slice(0, 3), 3, slice(4, 7), slice(7, 10)
_SHIFT_U, _SHIFT_V = 10, 11
_NX, _NY, _UX, _UY, _VX, _VY = range(12, 18)
_COLOUR, _SUN, _SIZE_A, _SIZE_B = slice(18, 21), 21, 22, 23
# Within how many roundings of the farthest corner an edge or shadow is decided in float64 (rays.py), and how far away,
# in metres, things are taken to be at least when that is turned into an angle.
EDGE_ROUNDINGS, EDGE_DISTANCE = 4, 20


@dataclass(frozen=True)
class View:
    """One rendered frame without disturbance; P = height * width pixels in row order.

    Attributes:
        image: float32 (H, W, 3) RGB in 0..1.
        source: uint8 (H, W) Cityscapes label ids.
        triangle: int32 (P,), the triangle that is seen, -1 = sky.
        points: float32 (3, P), what is seen, in the frame of its body, metres; for the sky the direction in the world.
        nearness: float32 (P,), 1 / depth in 1/metres, 0 = sky.
        slope: float32 (2, P), change of ``nearness`` per pixel in x and y on the plane of the seen triangle.
    """

    image: np.ndarray
    source: np.ndarray
    triangle: np.ndarray
    points: np.ndarray
    nearness: np.ndarray
    slope: np.ndarray


class Renderer:
    """Draws the frames of one scene at one size.

    Args:
        scene: what to draw.
        height, width: frame size, pixels.
        edge_samples: rays in a pixel on an outline, 1 = the pixel centre alone.
    """

    def __init__(self, scene: Scene, height: int, width: int, edge_samples: int = 1) -> None:
        self.scene = scene
        self.height, self.width = height, width
        self.edge_samples = edge_samples
        self.focal = FOCAL * width
        self.centre = ((width - 1) / 2, (height - 1) / 2)
        rows, columns = np.divmod(np.arange(height * width, dtype=np.int32), width)
        self.grid = np.stack([columns, rows]).astype(np.float32)
        # Metres; float32 places what is far along the street less exactly.
        self.edge = float(EDGE_ROUNDINGS * np.spacing(np.abs(scene.triangles).max()))
        self._axes = _surface_axes(scene.triangles)
        self._moving = np.flatnonzero(scene.body > 0)
        standing = np.flatnonzero(scene.body == 0)
        self._still = rays.Mesh(scene.triangles[standing], standing)

    def view(self, t: int) -> View:
        """Draw frame ``t``."""
        frame = _Frame(self, t)
        directions = frame.directions(*self.grid)
        triangle = frame.cast(directions)
        colour, depth, slope, lit = frame.shade(directions, triangle)
        seen = triangle >= 0
        if self.edge_samples > 1:
            # The border of a shadow is an edge too.
            self._smooth_edges(frame, np.where(seen, 2 * np.take(self.scene.part, triangle) + lit, -1), colour)
        source = np.where(seen, np.take(self.scene.source, triangle), np.uint8(LabelId.SKY))
        return View(
            image=np.ascontiguousarray(np.clip(colour, 0, 1).T.reshape(self.height, self.width, 3)),
            source=source.reshape(self.height, self.width),
            triangle=triangle,
            points=frame.body_points(directions, triangle, depth),
            nearness=1 / depth,
            slope=slope,
        )

    def _smooth_edges(self, frame: "_Frame", part: np.ndarray, colour: np.ndarray) -> None:
        """Replace the colour of pixels with a neighbour of another ``part`` (P,) by the mean over several rays."""
        part = part.reshape(self.height, self.width)
        edge = np.zeros(part.shape, bool)
        across, down = part[:, 1:] != part[:, :-1], part[1:] != part[:-1]
        edge[:, 1:] |= across
        edge[:, :-1] |= across
        edge[1:] |= down
        edge[:-1] |= down
        pixels = np.flatnonzero(edge)
        offsets = _offsets(self.edge_samples)
        x, y = (self.grid[axis, pixels] + offsets[:, axis, None] for axis in (0, 1))
        directions = frame.directions(x.ravel(), y.ravel())
        samples = frame.shade(directions, frame.cast(directions)).colour
        colour[:, pixels] = np.clip(samples, 0, 1).reshape(3, self.edge_samples, -1).mean(axis=1)


class _Shading(NamedTuple):
    """What M camera rays see; ``slope`` as in :class:`View`.

    colour: float32 (3, M). depth: float32 (M,), infinite for the sky. slope: float32 (2, M), 0 for the sky.
    lit: bool (M,), whether the sun shines there.
    """

    colour: np.ndarray
    depth: np.ndarray
    slope: np.ndarray
    lit: np.ndarray


class _Frame:
    """The scene as it stands in one frame."""

    def __init__(self, renderer: Renderer, t: int) -> None:
        scene = renderer.scene
        self.scene = scene
        self.renderer = renderer
        self.camera = scene.cameras[t]
        self.poses = scene.poses[t]
        self.origin = product(-self.camera[:3, :3].T, self.camera[:3, 3:])[:, 0]
        self.meshes = [renderer._still]
        moving = renderer._moving
        if len(moving):
            pose = self.poses[scene.body[moving]]
            corners = product(scene.triangles[moving], pose[:, :3, :3].transpose(0, 2, 1)) + pose[:, None, :3, 3]
            self.meshes.append(rays.Mesh(corners, moving))

    def _table(self, triangles: np.ndarray) -> np.ndarray:
        """What shading needs to know of some triangles (N,), float32 (24, N); the rows are named above."""
        scene, renderer = self.scene, self.renderer
        rotation, pose = self.camera[:3, :3], self.poses[scene.body[triangles]]
        # Plane and texture axes in the world; the axes of a moving body turn with it.
        turn = pose[:, :3, :3].transpose(0, 2, 1)
        base = pose[:, :3, 3]
        axes = product(renderer._axes[triangles], turn)
        anchor = product(scene.triangles[triangles, :1], turn)[:, 0] + base
        normal, along, up = axes[:, 0], axes[:, 1], axes[:, 2]
        pattern = scene.pattern[triangles]
        table = np.empty((24, len(triangles)), np.float32)
        table[_NORMAL], table[_U], table[_V] = normal.T, along.T, up.T
        table[_PLANE] = dot(normal.T, (anchor - self.origin).T)
        table[_SHIFT_U] = dot(along.T, (self.origin - base).T) + pattern[:, 2]
        table[_SHIFT_V] = dot(up.T, (self.origin - base).T) + pattern[:, 3]
        right, down = rotation[0] / renderer.focal, rotation[1] / renderer.focal
        table[_NX], table[_UX], table[_VX] = (dot(axis.T, right) for axis in (normal, along, up))
        table[_NY], table[_UY], table[_VY] = (dot(axis.T, down) for axis in (normal, along, up))
        table[_COLOUR] = scene.colour[triangles].T
        table[_SUN] = np.maximum(dot(normal.T, scene.sky.sun), 0)
        table[_SIZE_A], table[_SIZE_B] = pattern[:, 0], pattern[:, 1]
        return table

    def directions(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Directions in the world of the rays through the pixel coordinates x, y (M,), float32 (3, M).

        Their length is that of a step of 1 m along the camera's axis, so that a distance along a ray is a depth.
        """
        ahead = np.ones((3, len(x)), np.float32)
        for axis, place in enumerate((x, y)):
            ahead[axis] = (place - np.float32(self.renderer.centre[axis])) / np.float32(self.renderer.focal)
        return product(self.camera[:3, :3].T.astype(np.float32), ahead)

    def cast(self, directions: np.ndarray) -> np.ndarray:
        """First triangle that each ray (3, M) from the camera meets, int32 (M,), -1 = none."""
        angle = self.renderer.edge / EDGE_DISTANCE
        bundle = product(angle * rays.TRIANGLE, self.camera[:2, :3]).astype(np.float32)
        return rays.first_met(self.meshes, self.origin.astype(np.float32), directions.T, bundle)

    def shade(self, directions: np.ndarray, triangle: np.ndarray) -> _Shading:
        """What the rays (3, M) from the camera see that meet ``triangle`` (M,)."""
        shading = _Shading(
            colour=np.empty_like(directions),
            depth=np.full(len(triangle), np.inf, np.float32),
            slope=np.zeros((2, len(triangle)), np.float32),
            lit=np.zeros(len(triangle), bool),
        )
        sky = np.flatnonzero(triangle < 0)
        shading.colour[:, sky] = self._sky(np.take(directions, sky, axis=1))
        # Pixels of one material stand together, so that a texture is drawn on slices.
        solid = np.flatnonzero(triangle >= 0)
        material = np.take(self.scene.material, np.take(triangle, solid))
        order = np.argsort(material, kind="stable")
        solid, material = np.take(solid, order), np.take(material, order)
        used, which = _distinct(np.take(triangle, solid), len(self.scene.triangles))
        row = np.take(self._table(used), which, axis=1)
        d = np.take(directions, solid, axis=1)
        facing = dot(row[_NORMAL], d)
        t = row[_PLANE] / facing
        shading.depth[solid] = t
        # 1 / depth is linear in the pixel coordinates: n.d / c with d = ((x - cx) / f, (y - cy) / f, 1).
        shading.slope[:, solid] = row[_NX : _NY + 1] / row[_PLANE]
        du, dv = dot(row[_U], d), dot(row[_V], d)
        u, v = row[_SHIFT_U] + t * du, row[_SHIFT_V] + t * dv
        # Derivatives of the hit point on its plane when the ray moves by one pixel right or down.
        along_x, along_y = row[_NX] / facing, row[_NY] / facing
        wide_u = t * (np.abs(row[_UX] - du * along_x) + np.abs(row[_UY] - du * along_y))
        wide_v = t * (np.abs(row[_VX] - dv * along_x) + np.abs(row[_VY] - dv * along_y))
        paint = self._paint(row, material, u, v, wide_u, wide_v)
        lit = self._sunny(d * t + row[_NORMAL] * (np.float32(0.01) + np.float32(2e-4) * t), row[_SUN] > 0)
        shading.lit[solid] = lit
        sky_light = self.scene.sky
        light = sky_light.ambient[:, None] + sky_light.sunlight[:, None] * (row[_SUN] * lit)
        paint *= light.astype(np.float32)
        clear = np.exp(-t / np.float32(sky_light.haze))
        haze = sky_light.horizon.astype(np.float32)[:, None]
        shading.colour[:, solid] = haze + (paint - haze) * clear
        return shading

    def _sunny(self, points: np.ndarray, facing: np.ndarray) -> np.ndarray:
        """Whether points (3, M) relative to the camera, those that are ``facing`` the sun, lie in no shadow."""
        sunny = facing.copy()
        at = np.flatnonzero(sunny)
        places = (np.take(points, at, axis=1) + self.origin.astype(np.float32)[:, None]).T
        # The sun is never near the horizon, so that points beside each other on the ground are so for its rays, too.
        bundle = self.renderer.edge * np.insert(rays.TRIANGLE, 1, 0, axis=1)
        sunny[at] = ~rays.blocked(self.meshes, places, self.scene.sky.sun.astype(np.float32), bundle.astype(np.float32))
        return sunny

    def _paint(
        self,
        row: np.ndarray,
        material: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
        wide_u: np.ndarray,
        wide_v: np.ndarray,
    ) -> np.ndarray:
        """Colour in full light, float32 (3, M); ``material`` (M,) is sorted."""
        paint = row[_COLOUR].copy()
        ends = np.searchsorted(material, list(Material), side="right")
        for kind, start, end in zip(Material, [0, *ends], ends, strict=False):
            if start == end:
                continue
            at = slice(start, end)
            place = (u[at], v[at], wide_u[at], wide_v[at])
            sizes = (row[_SIZE_A, at], row[_SIZE_B, at])
            if kind == Material.ASPHALT:
                paint[:, at] = textures.asphalt(paint[:, at], *place, self.scene.road)
            elif kind == Material.FACADE:
                paint[:, at] = textures.facade(paint[:, at], *place, *sizes)
            elif kind == Material.SLABS:
                paint[:, at] *= textures.slabs(*place, *sizes)
            elif kind == Material.PLANKS:
                paint[:, at] *= textures.planks(*place, *sizes)
            elif kind == Material.LEAVES:
                paint[:, at] *= textures.leaves(*place)
            else:
                paint[:, at] *= textures.plain(*place)
        return paint

    def _sky(self, directions: np.ndarray) -> np.ndarray:
        sky = self.scene.sky
        length = np.sqrt(dot(directions, directions))
        height = np.clip(directions[1] / length, 0, 1)
        # Roots are rounded alike on every processor, powers are not.
        rise = np.minimum(height * 2.2, 1)
        blend = np.sqrt(rise * np.sqrt(rise))
        colour = sky.horizon.astype(np.float32)[:, None] * (1 - blend) + sky.zenith.astype(np.float32)[:, None] * blend
        around = np.arctan2(directions[0], directions[2], dtype=np.float64).astype(np.float32)
        pixel = np.full_like(height, 1 / self.renderer.focal)
        cloud = textures.noise(1.7, 1.6, around + sky.offset[0].astype(np.float32), 2.5 * height, pixel)
        return colour * (1 + np.float32(sky.clouds) * 0.5 * cloud)

    def body_points(self, directions: np.ndarray, triangle: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """What each pixel sees, in the frame of its body, float32 (3, M); world directions for the sky."""
        seen = triangle >= 0
        reach = np.where(seen, depth, np.float32(1))
        points = directions * reach + np.where(seen, self.origin.astype(np.float32)[:, None], np.float32(0))
        body = np.take(self.scene.body, triangle) * seen
        moving = np.flatnonzero(body)
        pose = np.take(self.poses, np.take(body, moving), axis=0).astype(np.float32)
        offset = np.take(points, moving, axis=1) - pose[:, :3, 3].T
        points[:, moving] = np.einsum("mji,jm->im", pose[:, :3, :3], offset)
        return points


def _surface_axes(triangles: np.ndarray) -> np.ndarray:
    """Unit normal and two texture axes (v as upright as the surface allows) of each triangle, float64 (N, 3, 3)."""
    corners = triangles.astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.sqrt(dot(normal.T, normal.T))[:, None], 1e-12)
    flat = np.abs(normal[:, 1]) > 0.9
    reference = np.where(flat[:, None], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0])
    up = reference - normal * dot(reference.T, normal.T)[:, None]
    up /= np.sqrt(dot(up.T, up.T))[:, None]
    # On the ground, u then runs to the right and v ahead.
    return np.stack([normal, np.cross(normal, up), up], axis=1)


def _distinct(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct numbers among ``ids`` (M,), all below ``count``, and the place of each id among them."""
    there = np.zeros(count, bool)
    there[ids] = True
    return np.flatnonzero(there), np.take(np.cumsum(there) - 1, ids)


def _offsets(count: int) -> np.ndarray:
    """Points spread evenly over a pixel, float32 (count, 2) in -0.5..0.5 (a rank-1 lattice)."""
    k = np.arange(count) + 0.5
    return np.stack([k / count, (k * 0.618034) % 1], axis=1).astype(np.float32) - np.float32(0.5)
