"""Ray casting of a scene: image, labels and what exact flow needs.

One ray goes through every pixel centre; its hit gives the colour, the label and the place of what is seen. Pixels on
the outline of an object or a shadow get more rays for the colour alone.
"""

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from etc.datasets import textures
from etc.datasets.objects import Material, Source
from etc.datasets.scene import FOCAL, Scene

# Rows of the per-triangle table, see _Frame.
_NORMAL, _PLANE, _U, _V = slice(0, 3), 3, slice(4, 7), slice(7, 10)
_SHIFT_U, _SHIFT_V = 10, 11
_NX, _NY, _UX, _UY, _VX, _VY = range(12, 18)
_COLOUR, _SUN, _SIZE_A, _SIZE_B = slice(18, 21), 21, 22, 23


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
        self._axes = _surface_axes(scene.triangles)
        self._moving = np.flatnonzero(scene.body > 0)
        self._standing = np.flatnonzero(scene.body == 0)
        self._still_world = _embree(scene.triangles[self._standing])

    def camera_rays(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Rays in camera axes with z = 1 through the pixel coordinates x, y (M,). Float32 (3, M)."""
        rays = np.ones((3, len(x)), np.float32)
        rays[0] = (x - np.float32(self.centre[0])) / np.float32(self.focal)
        rays[1] = (y - np.float32(self.centre[1])) / np.float32(self.focal)
        return rays

    def view(self, t: int) -> View:
        """Draw frame ``t``."""
        frame = _Frame(self, t)
        rays = self.camera_rays(*self.grid)
        triangle = frame.cast(rays)
        colour, depth, lit = frame.shade(rays, triangle)
        seen = triangle >= 0
        if self.edge_samples > 1:
            # The border of a shadow is an edge too.
            self._smooth_edges(frame, np.where(seen, 2 * self.scene.part[triangle] + lit, -1), colour)
        source = np.where(seen, self.scene.source[triangle], np.uint8(Source.SKY))
        nearness = np.zeros_like(depth)
        np.divide(1, depth, out=nearness, where=seen)
        slope = np.where(seen, frame.slope[:, triangle], 0)
        return View(
            image=np.ascontiguousarray(np.clip(colour, 0, 1).T.reshape(self.height, self.width, 3)),
            source=source.reshape(self.height, self.width),
            triangle=triangle,
            points=frame.body_points(rays, triangle, depth),
            nearness=nearness,
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
        rays = self.camera_rays(x.ravel(), y.ravel())
        samples, _, _ = frame.shade(rays, frame.cast(rays))
        colour[:, pixels] = np.clip(samples, 0, 1).reshape(3, self.edge_samples, -1).mean(axis=1)


class _Frame:
    """The scene as it stands in one frame, as tables with one column per triangle."""

    def __init__(self, renderer: Renderer, t: int) -> None:
        scene = renderer.scene
        self.scene = scene
        self.renderer = renderer
        self.camera = scene.cameras[t]
        self.poses = scene.poses[t]
        rotation = self.camera[:3, :3]
        self.origin = -rotation.T @ self.camera[:3, 3]
        moving = renderer._moving
        pose = self.poses[scene.body[moving]]
        corners = np.einsum("nij,nkj->nki", pose[:, :3, :3], scene.triangles[moving]) + pose[:, None, :3, 3]
        self.moving_world = _embree(corners.astype(np.float32)) if len(moving) else None
        # Plane and texture axes in the world; the axes of a moving body turn with it.
        axes = renderer._axes.copy()
        axes[moving] = np.einsum("nij,nkj->nki", pose[:, :3, :3], renderer._axes[moving])
        anchor = scene.triangles[:, 0].astype(np.float64)
        anchor[moving] = corners[:, 0]
        base = np.zeros_like(anchor)
        base[moving] = pose[:, :3, 3]
        normal, along, up = axes[:, 0], axes[:, 1], axes[:, 2]
        right, down = rotation[0] / renderer.focal, rotation[1] / renderer.focal
        plane = np.einsum("ni,ni->n", normal, anchor - self.origin)
        table = np.empty((24, len(anchor)), np.float32)
        table[_NORMAL], table[_PLANE], table[_U], table[_V] = normal.T, plane, along.T, up.T
        from_base = self.origin - base
        table[_SHIFT_U] = np.einsum("ni,ni->n", along, from_base) + scene.pattern[:, 2]
        table[_SHIFT_V] = np.einsum("ni,ni->n", up, from_base) + scene.pattern[:, 3]
        for row, (axis, step) in zip(
            (_NX, _NY, _UX, _UY, _VX, _VY),
            ((normal, right), (normal, down), (along, right), (along, down), (up, right), (up, down)),
            strict=True,
        ):
            table[row] = axis @ step
        table[_COLOUR] = scene.colour.T
        table[_SUN] = np.maximum(normal @ scene.sky.sun, 0)
        table[_SIZE_A], table[_SIZE_B] = scene.pattern[:, 0], scene.pattern[:, 1]
        self.table = table
        # 1 / depth is linear in the pixel coordinates: n.d / c with d = ((x - cx) / f, (y - cy) / f, 1).
        with np.errstate(divide="ignore", invalid="ignore"):
            self.slope = np.nan_to_num(table[[_NX, _NY]] / table[_PLANE], nan=0, posinf=0, neginf=0)

    def cast(self, rays: np.ndarray) -> np.ndarray:
        """First triangle that each camera ray (3, M) meets, int32 (M,), -1 = none."""
        directions = np.ascontiguousarray((self.camera[:3, :3].T.astype(np.float32) @ rays).T)
        origins = np.broadcast_to(self.origin.astype(np.float32), directions.shape)
        hit = self.renderer._still_world.run(origins, directions, output=True)
        still = hit["primID"]
        triangle = np.where(still >= 0, self.renderer._standing[still], -1).astype(np.int32)
        if self.moving_world is not None:
            nearer = self.moving_world.run(origins, directions, dists=hit["tfar"])
            triangle = np.where(nearer >= 0, self.renderer._moving[nearer], triangle).astype(np.int32)
        return triangle

    def shade(self, rays: np.ndarray, triangle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What camera rays (3, M) see: colour float32 (3, M), depth float32 (M,), infinite for the sky, and
        whether the sun shines there, bool (M,)."""
        world = self.camera[:3, :3].T.astype(np.float32) @ rays
        colour = np.empty_like(world)
        depth = np.full(len(triangle), np.inf, np.float32)
        sky = np.flatnonzero(triangle < 0)
        colour[:, sky] = self._sky(world[:, sky])
        solid = np.flatnonzero(triangle >= 0)
        ids = triangle[solid]
        row = np.take(self.table, ids, axis=1)
        d = world[:, solid]
        facing = _dot(row[_NORMAL], d)
        t = row[_PLANE] / facing
        depth[solid] = t
        du, dv = _dot(row[_U], d), _dot(row[_V], d)
        u, v = row[_SHIFT_U] + t * du, row[_SHIFT_V] + t * dv
        # Derivatives of the hit point on its plane when the ray moves by one pixel right or down.
        along_x, along_y = row[_NX] / facing, row[_NY] / facing
        wide_u = t * (np.abs(row[_UX] - du * along_x) + np.abs(row[_UY] - du * along_y))
        wide_v = t * (np.abs(row[_VX] - dv * along_x) + np.abs(row[_VY] - dv * along_y))
        paint = self._paint(row, self.scene.material[ids], u, v, wide_u, wide_v)
        sky_light = self.scene.sky
        lit = np.zeros(len(triangle), bool)
        lit[solid] = self._sunny(d * t + row[_NORMAL] * (np.float32(0.01) + np.float32(2e-4) * t), row[_SUN] > 0)
        light = sky_light.ambient[:, None] + sky_light.sunlight[:, None] * (row[_SUN] * lit[solid])
        paint *= light.astype(np.float32)
        clear = np.exp(-t / np.float32(sky_light.haze))
        haze = sky_light.horizon.astype(np.float32)[:, None]
        colour[:, solid] = haze + (paint - haze) * clear
        return colour, depth, lit

    def _sunny(self, points: np.ndarray, facing: np.ndarray) -> np.ndarray:
        """Whether points (3, M) relative to the camera, those that are ``facing`` the sun, lie in no shadow."""
        sunny = facing.copy()
        sun = self.scene.sky.sun.astype(np.float32)[None]
        for world in (self.renderer._still_world, self.moving_world):
            at = np.flatnonzero(sunny)
            if world is not None and len(at):
                origins = np.ascontiguousarray((points[:, at] + self.origin.astype(np.float32)[:, None]).T)
                sunny[at] = world.run(origins, sun, query="OCCLUDED") < 0
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
        paint = row[_COLOUR].copy()
        for kind in Material:
            at = np.flatnonzero(material == kind)
            if not len(at):
                continue
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

    def _sky(self, world: np.ndarray) -> np.ndarray:
        sky = self.scene.sky
        length = np.sqrt(_dot(world, world))
        height = np.clip(world[1] / length, 0, 1)
        blend = np.minimum(height * 2.2, 1) ** np.float32(0.7)
        colour = sky.horizon.astype(np.float32)[:, None] * (1 - blend) + sky.zenith.astype(np.float32)[:, None] * blend
        around = np.arctan2(world[0], world[2])
        pixel = np.full_like(height, 1 / self.renderer.focal)
        cloud = textures.noise(1.7, 1.6, around + sky.offset[0].astype(np.float32), 2.5 * height, pixel)
        return colour * (1 + np.float32(sky.clouds) * 0.5 * cloud)

    def body_points(self, rays: np.ndarray, triangle: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """What each pixel sees, in the frame of its body, float32 (3, M); world directions for the sky."""
        world = self.camera[:3, :3].T.astype(np.float32) @ rays
        seen = triangle >= 0
        reach = np.where(seen, depth, np.float32(1))
        points = world * reach + np.where(seen, self.origin.astype(np.float32)[:, None], np.float32(0))
        body = self.scene.body[triangle]
        moving = np.flatnonzero(seen & (body > 0))
        pose = self.poses[body[moving]].astype(np.float32)
        offset = points[:, moving] - pose[:, :3, 3].T
        points[:, moving] = np.einsum("mji,jm->im", pose[:, :3, :3], offset)
        return points


def _embree(triangles: np.ndarray) -> EmbreeScene:
    world = EmbreeScene()
    TriangleMesh(world, np.ascontiguousarray(triangles, np.float32))
    return world


def _surface_axes(triangles: np.ndarray) -> np.ndarray:
    """Unit normal and two texture axes (v as upright as the surface allows) of each triangle, float64 (N, 3, 3)."""
    corners = triangles.astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    flat = np.abs(normal[:, 1]) > 0.9
    reference = np.where(flat[:, None], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0])
    up = reference - normal * np.einsum("ni,ni->n", reference, normal)[:, None]
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    # On the ground, u then runs to the right and v ahead.
    return np.stack([normal, np.cross(normal, up), up], axis=1)


def _offsets(count: int) -> np.ndarray:
    """Points spread evenly over a pixel, float32 (count, 2) in -0.5..0.5 (a rank-1 lattice)."""
    k = np.arange(count) + 0.5
    return np.stack([k / count, (k * 0.618034) % 1], axis=1).astype(np.float32) - np.float32(0.5)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
