"""What rays meet: against all triangles in float64, at edges, and between the surfaces of a whole scene."""

import numpy as np
import pytest

from etc.sources.street import objects, rays
from etc.sources.street.params import StreetParams
from etc.sources.street.render import EDGE_DISTANCE, Renderer, _Frame
from etc.sources.street.scene import build_scene
from etc.sources.street.shapes import blob, box

ORIGIN = np.float32([0, 1.5, -10])
BUNDLE = (rays.TRIANGLE @ np.eye(2, 3) * 1e-5).astype(np.float32)


@pytest.fixture
def meshes():
    rng = np.random.default_rng(0)
    still = np.concatenate([box((8, 3, 0.5), (0, 1.5, 20)), blob((2, 2, 2), (3, 2, 8), rng, 0.2)])
    moving = box((1, 1, 1), (-1, 1, 4))
    count = len(still)
    return [
        rays.Mesh(still, np.arange(count, dtype=np.int32)),
        rays.Mesh(moving, np.arange(count, count + len(moving), dtype=np.int32)),
    ]


def nearest(meshes, directions):
    distances = np.concatenate([rays._distances(mesh, ORIGIN[None], directions) for mesh in meshes], axis=1)
    return np.where(np.isfinite(distances.min(axis=1)), distances.argmin(axis=1), -1)


def test_rays_meet_what_is_nearest_of_all_triangles(meshes):
    directions = np.random.default_rng(1).uniform((-0.4, -0.2, 1), (0.4, 0.2, 1), (4000, 3)).astype(np.float32)
    met = rays.first_met(meshes, ORIGIN, directions, BUNDLE)
    np.testing.assert_array_equal(met, nearest(meshes, directions))
    assert len(np.unique(met)) > 20 and (met == -1).any()


def test_rays_along_edges_are_decided_in_float64(meshes, monkeypatch):
    """Rays through points of every edge; Embree alone decides them by its last bits."""
    corners = np.concatenate([mesh.corners for mesh in meshes])
    share = np.linspace(0.05, 0.95, 7)[:, None, None, None]
    directions = (corners * share + np.roll(corners, 1, axis=1) * (1 - share) - ORIGIN).reshape(-1, 3)
    directions = (directions / directions[:, 2:]).astype(np.float32)
    expected = nearest(meshes, directions)
    np.testing.assert_array_equal(rays.first_met(meshes, ORIGIN, directions, BUNDLE), expected)
    original = rays._first

    def other_processor(meshes, origins, directions):
        """Decides as if every ray passed a little beside itself."""
        return original(meshes, origins, directions + np.float32([3e-7, -3e-7, 0]))

    monkeypatch.setattr(rays, "_first", other_processor)
    assert (rays._first(meshes, np.broadcast_to(ORIGIN, directions.shape), directions) != expected).any()
    np.testing.assert_array_equal(rays.first_met(meshes, ORIGIN, directions, BUNDLE), expected)


def test_a_light_is_blocked_where_any_triangle_is_in_the_way(meshes):
    points = np.random.default_rng(2).uniform((-6, 0, -2), (6, 4, 30), (3000, 3)).astype(np.float32)
    sun = np.float32([0.3, 0.8, -0.52])
    bundle = (1e-4 * np.insert(rays.TRIANGLE, 1, 0, axis=1)).astype(np.float32)
    expected = np.any([np.isfinite(rays._distances(mesh, points, sun[None])).any(axis=1) for mesh in meshes], axis=0)
    np.testing.assert_array_equal(rays.blocked(meshes, points, sun, bundle), expected)
    assert 0.05 < expected.mean() < 0.95


OBJECTS = {
    "car": objects.car,
    "lorry": objects.lorry,
    "bus": objects.bus,
    "rider": objects.rider,
    "pedestrian": lambda rng: objects.person(rng)[0],
    "tree": objects.tree,
    "lamp": lambda rng: objects.lamp(rng, 1),
    "sign": objects.sign,
    "traffic light": objects.traffic_light,
    "house": lambda rng: objects.building(rng, 12, 8, 12, 1),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_no_two_faces_of_an_object_share_a_plane_where_they_are_seen(name):
    """There, last bits would decide which is in front."""
    rng = np.random.default_rng(0)
    corners = np.concatenate([part.triangles for part in OBJECTS[name](rng)])
    mesh = rays.Mesh(corners, np.arange(len(corners), dtype=np.int32))
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    for turn in np.linspace(0.1, 2 * np.pi, 9):
        eye = np.float32([12 * np.sin(turn), 1.5, 12 * np.cos(turn)])
        aims = rng.uniform(low, high, (600, 3)) - eye
        first, second = np.partition(rays._distances(mesh, eye[None], aims), 1, axis=1)[:, :2].T
        seen = np.isfinite(first)
        assert seen.sum() > 20
        assert not np.any(second[seen] - first[seen] < 1e-6 * first[seen])


@pytest.mark.parametrize("seed", range(4))
def test_no_two_faces_of_a_scene_share_a_plane_where_they_are_seen(seed):
    """There, last bits would decide. Faces meet in lines, which hardly any of the rays passes."""
    params = StreetParams(density=2.0, width=128, height=64)
    scene = build_scene(params, np.random.default_rng(seed))
    renderer = Renderer(scene, params.height, params.width)
    close = total = 0
    for t in (0, params.frames_per_clip - 1):
        frame = _Frame(renderer, t)
        directions = frame.directions(*renderer.grid[:, ::5]).T
        for block in np.array_split(directions, len(directions) // 64):
            origin = frame.origin.astype(np.float32)[None]
            distances = np.concatenate([rays._distances(mesh, origin, block) for mesh in frame.meshes], axis=1)
            first, second = np.partition(distances, 1, axis=1)[:, :2].T
            seen = np.isfinite(first)
            close += np.sum(second[seen] - first[seen] < 1e-6 * first[seen])
            total += np.sum(seen)
    assert total > 2000
    assert close <= 2


@pytest.mark.parametrize("params", [{}, {"width": 2048, "height": 64}, {"frames_per_clip": 300, "speed": 2.0}])
def test_the_bundle_is_wider_than_what_float32_loses(params):
    """Far from the origin, coordinates are rounded by more than near it."""
    params = StreetParams(**params)
    scene = build_scene(params, np.random.default_rng(0))
    renderer = Renderer(scene, params.height, params.width)
    rounding = np.spacing(np.abs(scene.triangles).max())
    assert renderer.edge >= 4 * rounding
    bundle = renderer.edge / EDGE_DISTANCE * renderer.focal  # pixels
    assert bundle > renderer.focal * rounding / 20  # of a corner, seen from 20 m
