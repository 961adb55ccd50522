import numpy as np
import pytest

from etc.dataset.label_sets import STREET
from etc.sources.street import shapes
from etc.sources.street.objects import LabelId
from etc.sources.street.params import StreetParams
from etc.sources.street.render import Renderer
from etc.sources.street.scene import build_scene

PARAMS = StreetParams(height=64, width=128, frames_per_clip=4, annotated=2)


def _scene(seed=0, **changes):
    return build_scene(PARAMS.model_copy(update=changes), np.random.default_rng(seed))


def _volume(triangles):
    a, b, c = triangles.astype(float).transpose(1, 0, 2)
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


def test_shapes_are_closed_and_face_outwards():
    rng = np.random.default_rng(0)
    assert _volume(shapes.box((1, 2, 3), (4, 5, 6))) == pytest.approx(6, rel=1e-4)
    outline = np.array([(0, 0), (2, 0), (2, 1), (0, 1)])
    assert _volume(shapes.prism(outline, 3)) == pytest.approx(6, rel=1e-4)
    assert _volume(shapes.prism(outline[::-1], 3)) == pytest.approx(6, rel=1e-4)
    # A regular 12-gon of radius 2 has the area 12.
    assert _volume(shapes.wheel(2, 0.5, (1, 1, 1), sides=12)) == pytest.approx(6, rel=1e-4)
    sphere = _volume(shapes.blob((1, 1, 1), (3, 3, 3), rng, 0, rings=40, segments=40))
    assert sphere == pytest.approx(4 * np.pi / 3, rel=0.02)
    assert _volume(shapes.blob((1, 1, 1), (0, 0, 0), rng, 0.2)) > 2
    turned = shapes.turned(shapes.box((1, 2, 3), (0, 0, 0)), 0.7, (9, 0, 2))
    assert _volume(turned) == pytest.approx(6, rel=1e-4)
    np.testing.assert_allclose(
        shapes.turned(np.float32([[[0, 0, 1]] * 3]), np.pi / 2, (0, 0, 0))[0, 0], (1, 0, 0), atol=1e-6
    )


def test_equal_seeds_give_equal_scenes():
    first, second, other = _scene(3), _scene(3), _scene(4)
    for name in ("triangles", "body", "part", "source", "material", "colour", "pattern", "poses", "cameras"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.cameras, other.cameras)


def test_every_pose_is_rigid():
    scene = _scene(1)
    for matrices in (scene.poses.reshape(-1, 4, 4), scene.cameras):
        rotation = matrices[:, :3, :3]
        np.testing.assert_allclose(
            rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-12
        )
        np.testing.assert_array_equal(matrices[:, 3], np.broadcast_to([0, 0, 0, 1], matrices[:, 3].shape))
    np.testing.assert_allclose(np.linalg.det(scene.poses[..., :3, :3]), 1)
    np.testing.assert_array_equal(scene.poses[:, 0], np.broadcast_to(np.eye(4), (4, 4, 4)))


def test_only_vehicles_and_people_move():
    scene = _scene(2)
    moving = set(scene.source[scene.body > 0].tolist())
    assert moving <= {LabelId.CAR, LabelId.TRUCK, LabelId.BUS, LabelId.PERSON, LabelId.RIDER, LabelId.BICYCLE}
    travelled = np.abs(np.diff(scene.poses[:, 1:, :3, 3], axis=0)).max(axis=(0, 2))
    assert (travelled > 0).all() and travelled.max() < 2


def test_parameters_act():
    assert _scene(0, density=0.0).poses.shape[1] == 1
    assert _scene(0, density=2.0).poses.shape[1] > _scene(0, density=0.3).poses.shape[1]
    still = _scene(0, speed=0.0, sway=0.0)
    centres = -np.einsum("tji,tj->ti", still.cameras[:, :3, :3], still.cameras[:, :3, 3])
    assert np.ptp(centres[:, 2]) < 1e-9
    fast = _scene(0, speed=1.0)
    centres = -np.einsum("tji,tj->ti", fast.cameras[:, :3, :3], fast.cameras[:, :3, 3])
    steps = np.diff(centres[:, 2])
    assert steps.min() > 0.69 and steps.max() < 1.31


def test_every_class_is_met_and_nothing_blocks_the_camera():
    met = np.zeros(STREET.count, int)
    for seed in range(12):
        view = Renderer(_scene(seed), 64, 128).view(2)
        labels = STREET.encode(view.source)
        assert labels.max() < STREET.count
        met += np.bincount(labels.ravel(), minlength=STREET.count) > 20
        assert view.nearness.max() < 1, "something is nearer than a metre"
    assert (met >= 5).all(), dict(zip(STREET.names, met, strict=True))
    assert (met[[0, 2, 5]] == 12).all()
