"""The renderer against independent computations: brute-force ray casting, projective geometry, warping."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from etc.dataset.label_sets import STREET
from etc.sources.street.exact_flow import flow_between
from etc.sources.street.params import StreetParams
from etc.sources.street.render import Renderer
from etc.sources.street.scene import FOCAL, build_scene
from etc.sources.street.shapes import box

HEIGHT, WIDTH, FRAMES = 64, 128, 4
PARAMS = StreetParams(height=HEIGHT, width=WIDTH, frames_per_clip=FRAMES, annotated=2)
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module", params=SEEDS)
def rendered(request):
    scene = build_scene(PARAMS, np.random.default_rng(request.param))
    # So small a frame is largely outlines: with the few rays that do at full size their colour would be rough.
    renderer = Renderer(scene, HEIGHT, WIDTH, edge_samples=9)
    return scene, renderer, [renderer.view(t) for t in range(FRAMES)]


def _rays(pixels):
    """World-independent camera rays of (x, y) pixels (M, 2), float64 (M, 3), from the definition of the camera."""
    focal = FOCAL * WIDTH
    x = (pixels[:, 0] - (WIDTH - 1) / 2) / focal
    y = (pixels[:, 1] - (HEIGHT - 1) / 2) / focal
    return np.stack([x, y, np.ones_like(x)], axis=1)


def _world_triangles(scene, t):
    pose = scene.poses[t, scene.body]
    return np.einsum("nij,nkj->nki", pose[:, :3, :3], scene.triangles.astype(float)) + pose[:, None, :3, 3]


def _first_hit(triangles, origin, directions):
    """Moeller-Trumbore over all triangles: distance in units of the direction, inf when none, and which triangle."""
    a = triangles[:, 0]
    ab, ac = triangles[:, 1] - a, triangles[:, 2] - a
    distance, which = np.full(len(directions), np.inf), np.full(len(directions), -1)
    offset = origin - a
    q = np.cross(offset, ab)
    for m, direction in enumerate(directions):
        p = np.cross(direction, ac)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / np.einsum("ni,ni->n", ab, p)
            u, v = np.einsum("ni,ni->n", offset, p) * inverse, q @ direction * inverse
            t = np.einsum("ni,ni->n", ac, q) * inverse
        t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6), t, np.inf)
        if np.isfinite(t).any():
            which[m] = t.argmin()
            distance[m] = t[which[m]]
    return distance, which


def _pixels(mask, count, seed=0):
    rows, columns = np.nonzero(mask)
    chosen = np.random.default_rng(seed).choice(len(rows), min(count, len(rows)), replace=False)
    return np.stack([columns[chosen], rows[chosen]], axis=1)


def test_hits_agree_with_brute_force(rendered):
    scene, _, views = rendered
    pixels = _pixels(np.ones((HEIGHT, WIDTH), bool), 250)
    rotation, translation = scene.cameras[1, :3, :3], scene.cameras[1, :3, 3]
    distance, which = _first_hit(_world_triangles(scene, 1), -rotation.T @ translation, _rays(pixels) @ rotation)
    index = pixels[:, 1] * WIDTH + pixels[:, 0]
    same = views[1].triangle[index] == which
    assert same.mean() > 0.98  # a ray through an edge may go either way
    np.testing.assert_allclose(
        1 / views[1].nearness[index][same & (which >= 0)], distance[same & (which >= 0)], rtol=1e-3
    )
    np.testing.assert_array_equal(views[1].source[pixels[:, 1], pixels[:, 0]][same & (which < 0)], 23)


def _label_agreement(first, second, place, visible):
    """Share of visible pixels whose class is that of the second view at the nearest pixel of ``place``, (x, y)."""
    labels, following = (STREET.encode(view.source) for view in (first, second))
    limits = reversed(labels.shape)
    columns, rows = (np.clip(np.rint(p), 0, limit - 1).astype(int) for p, limit in zip(place, limits, strict=True))
    return (following[rows, columns] == labels)[visible].mean()


def test_warping_back_gives_the_frame(rendered):
    _, renderer, views = rendered
    for t in range(FRAMES - 1):
        flow, visible = flow_between(renderer, views[t], t + 1, views[t + 1])
        columns, rows = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
        place = columns + flow[..., 0], rows + flow[..., 1]
        warped = cv2.remap(views[t + 1].image, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        error = np.mean((warped - views[t].image)[visible] ** 2)
        assert -10 * np.log10(error) >= 30
        assert _label_agreement(views[t], views[t + 1], place, visible) >= 0.98
        # The flow is what makes them agree: without it, or with its sign turned, they agree clearly less.
        assert np.mean((views[t + 1].image - views[t].image)[visible] ** 2) > 2.5 * error
        assert visible.mean() > 0.7


def test_warping_back_gives_the_frame_with_the_shipped_parameters():
    params = StreetParams()
    columns, rows = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(128, dtype=np.float32))
    for seed in range(4):
        scene = build_scene(params, np.random.default_rng(seed))
        renderer = Renderer(scene, params.height, params.width, params.edge_samples)
        first, second = renderer.view(5), renderer.view(6)
        flow, visible = flow_between(renderer, first, 6, second)
        place = columns + flow[..., 0], rows + flow[..., 1]
        warped = cv2.remap(second.image, *place, cv2.INTER_LINEAR)
        assert _label_agreement(first, second, place, visible) >= 0.98
        assert -10 * np.log10(np.mean((warped - first.image)[visible] ** 2)) >= 30
        assert 1 < np.linalg.norm(flow, axis=2).mean() < 9


def test_static_points_obey_the_epipolar_geometry(rendered):
    scene, renderer, views = rendered
    flow, _ = flow_between(renderer, views[0], 3, views[3])
    motion = scene.cameras[3] @ np.linalg.inv(scene.cameras[0])
    x, y, z = motion[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ motion[:3, :3]
    static = (views[0].triangle >= 0) & (scene.body[views[0].triangle] == 0) & (views[0].nearness < 0.3)
    pixels = _pixels(static.reshape(HEIGHT, WIDTH), 3000)
    target = pixels + flow[pixels[:, 1], pixels[:, 0]].astype(float)
    lines = _rays(pixels) @ essential.T
    distance = np.abs(np.einsum("mi,mi->m", lines, _rays(target))) / np.hypot(lines[:, 0], lines[:, 1]) * FOCAL * WIDTH
    assert distance.max() < 0.02


def test_the_sky_only_turns(rendered):
    scene, renderer, views = rendered
    flow, _ = flow_between(renderer, views[0], 2, views[2])
    pixels = _pixels(views[0].source == 23, 500)
    turned = _rays(pixels) @ (scene.cameras[2, :3, :3] @ scene.cameras[0, :3, :3].T).T
    expected = turned[:, :2] / turned[:, 2:] * FOCAL * WIDTH + ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    np.testing.assert_allclose(pixels + flow[pixels[:, 1], pixels[:, 0]], expected, atol=2e-3)


def _unprojected(scene, view, t, positions):
    """World points that frame t sees at float positions (M, 2), from the depth on the nearest pixel's plane."""
    nearest = np.rint(positions).astype(int)
    index = nearest[:, 1] * WIDTH + nearest[:, 0]
    shift = positions - nearest
    nearness = view.nearness[index] + np.einsum("im,mi->m", view.slope[:, index], shift)
    points = _rays(positions) / nearness[:, None]
    return (points - scene.cameras[t, :3, 3]) @ scene.cameras[t, :3, :3]


def test_points_on_one_moving_body_keep_their_distance():
    compared = 0
    for seed in SEEDS:
        scene = build_scene(PARAMS, np.random.default_rng(seed))
        renderer = Renderer(scene, HEIGHT, WIDTH)
        views = [renderer.view(t) for t in (0, 3)]
        flow, visible = flow_between(renderer, views[0], 3, views[1])
        body = np.where(views[0].triangle >= 0, scene.body[views[0].triangle], 0).reshape(HEIGHT, WIDTH)
        triangles = [view.triangle.reshape(HEIGHT, WIDTH) for view in views]
        for one in np.unique(body[body > 0]):
            pixels = _pixels((body == one) & visible, 40)
            target = pixels + flow[pixels[:, 1], pixels[:, 0]].astype(float)
            nearest = np.rint(target).astype(int)
            # Only where the depth in the other frame is known to be that of the same plane.
            same = triangles[0][pixels[:, 1], pixels[:, 0]] == triangles[1][nearest[:, 1], nearest[:, 0]]
            if same.sum() < 4:
                continue
            before = _unprojected(scene, views[0], 0, pixels[same].astype(float))
            after = _unprojected(scene, views[1], 3, target[same])
            moved = np.linalg.norm(after - before, axis=1)
            distances = [np.linalg.norm(points[:, None] - points[None], axis=2) for points in (before, after)]
            np.testing.assert_allclose(*distances, atol=0.02)
            compared += int(moved.min() > 0.01)
    assert compared >= 3


def test_visibility_agrees_with_casting_rays_again(rendered):
    scene, renderer, views = rendered
    t, s = 0, 2
    flow, visible = flow_between(renderer, views[t], s, views[s])
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    x, y = np.rint(columns + flow[..., 0]), np.rint(rows + flow[..., 1])
    inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    assert not visible[~inside].any()
    pixels = _pixels(inside & (views[t].triangle >= 0).reshape(HEIGHT, WIDTH), 400)
    index = pixels[:, 1] * WIDTH + pixels[:, 0]
    body = scene.body[views[t].triangle[index]]
    world_t = (_rays(pixels) / views[t].nearness[index][:, None] - scene.cameras[t, :3, 3]) @ scene.cameras[t, :3, :3]
    carry = scene.poses[s, body] @ np.linalg.inv(scene.poses[t, body])
    world_s = np.einsum("mij,mj->mi", carry[:, :3, :3], world_t) + carry[:, :3, 3]
    origin = -scene.cameras[s, :3, :3].T @ scene.cameras[s, :3, 3]
    distance, _ = _first_hit(_world_triangles(scene, s), origin, world_s - origin)
    clear = distance > 0.99  # nothing before the point itself, which is at distance 1
    flagged = visible[pixels[:, 1], pixels[:, 0]]
    # Flagged means seen by the nearest pixel: on an outline that pixel may see the other surface.
    parts = (
        np.where(views[s].triangle >= 0, scene.part[views[s].triangle], -1).reshape(HEIGHT, WIDTH).astype(np.float32)
    )
    outline = cv2.dilate(parts, np.ones((3, 3))) != cv2.erode(parts, np.ones((3, 3)))
    on_outline = outline[y[pixels[:, 1], pixels[:, 0]].astype(int), x[pixels[:, 1], pixels[:, 0]].astype(int)]
    assert clear[flagged].mean() > 0.985
    assert (clear == flagged)[~on_outline].mean() > 0.985
    assert (clear == flagged)[on_outline].mean() > 0.75


def test_a_board_just_in_front_of_a_wall_hides_it():
    """A board 2 m wide, 0.4 m in front of a wall at 10.4 m, moves 1.5 m to the right before a still camera."""
    poses = np.tile(np.eye(4), (2, 2, 1, 1))
    poses[1, 1, 0, 3] = 1.5
    triangles = np.concatenate([box((40, 40, 1), (0, 0, 10.9)), box((2, 2, 0.1), (0, 0, 10.05))])
    scene = replace(
        build_scene(PARAMS, np.random.default_rng(0)),
        triangles=triangles,
        body=np.repeat(np.int32([0, 1]), 12),
        part=np.repeat(np.int32([0, 1]), 12),
        source=np.repeat(np.uint8([11, 26]), 12),
        material=np.zeros(24, np.uint8),
        colour=np.full((24, 3), 0.5, np.float32),
        pattern=np.ones((24, 4), np.float32),
        poses=poses,
        cameras=np.tile(np.diag([1.0, -1, 1, 1]), (2, 1, 1)),
    )
    renderer = Renderer(scene, HEIGHT, WIDTH)
    views = [renderer.view(t) for t in (0, 1)]
    flow, visible = flow_between(renderer, views[0], 1, views[1])
    focal = FOCAL * WIDTH
    columns = (np.arange(WIDTH) - (WIDTH - 1) / 2) / focal * 10
    rows = (np.arange(HEIGHT) - (HEIGHT - 1) / 2) / focal * 10
    board = [(np.abs(columns - shift) < 1) & (np.abs(rows) < 1)[:, None] for shift in (0, 1.5)]
    np.testing.assert_array_equal(views[0].source == 26, board[0])
    np.testing.assert_allclose(flow, np.where(board[0][..., None], [1.5 * focal / 10, 0], 0), atol=1e-3)
    np.testing.assert_array_equal(visible[~board[0]], ~board[1][~board[0]])
    assert visible[board[0]].mean() > 0.95


def test_there_and_back_and_through_a_third_frame(rendered):
    _, renderer, views = rendered
    flow, visible = flow_between(renderer, views[0], 1, views[1])
    back, back_visible = flow_between(renderer, views[1], 0, views[0])
    onward, _ = flow_between(renderer, views[1], 2, views[2])
    direct, direct_visible = flow_between(renderer, views[0], 2, views[2])
    pixels = _pixels(visible, 4000)
    at = pixels[:, 1], pixels[:, 0]
    landed = pixels + flow[at]

    def sample(field):
        return cv2.remap(field, landed[:, 0:1], landed[:, 1:2], cv2.INTER_LINEAR)[:, 0]

    landed = landed.astype(np.float32)
    there_and_back = np.linalg.norm(flow[at] + sample(back), axis=1)
    assert np.median(there_and_back) < 0.02 and (there_and_back < 0.5).mean() > 0.93
    both = direct_visible[at]
    through = np.linalg.norm(flow[at] + sample(onward) - direct[at], axis=1)[both]
    assert np.median(through) < 0.02 and (through < 0.5).mean() > 0.93
    nearest = np.rint(landed).astype(int)
    assert back_visible[nearest[:, 1], nearest[:, 0]].mean() > 0.93


def test_a_frame_to_itself_stays(rendered):
    _, renderer, views = rendered
    flow, visible = flow_between(renderer, views[1], 1, views[1])
    assert np.abs(flow).max() < 2e-3
    assert visible.all()


def test_a_point_that_falls_behind_the_camera_is_cut_and_not_visible():
    params = PARAMS.model_copy(update={"speed": 2.0})
    scene = build_scene(params, np.random.default_rng(0))
    renderer = Renderer(scene, HEIGHT, WIDTH)
    views = [renderer.view(t) for t in (0, 3)]
    flow, visible = flow_between(renderer, views[0], 3, views[1])
    assert np.isfinite(flow).all() and np.abs(flow).max() == 2 * WIDTH
    assert not visible[np.abs(flow).max(axis=2) > WIDTH].any()


def test_edge_samples_change_the_colour_of_outlines_alone():
    scene = build_scene(PARAMS, np.random.default_rng(5))
    plain, smooth = (Renderer(scene, HEIGHT, WIDTH, samples).view(0) for samples in (1, 4))
    np.testing.assert_array_equal(plain.source, smooth.source)
    np.testing.assert_array_equal(plain.points, smooth.points)
    changed = (plain.image != smooth.image).any(axis=2)
    assert 0.02 < changed.mean() < 0.6
    # The mean over samples is nearer to a frame drawn at four times the size and averaged.
    large = Renderer(scene, 4 * HEIGHT, 4 * WIDTH).view(0).image.reshape(HEIGHT, 4, WIDTH, 4, 3).mean(axis=(1, 3))
    assert np.abs(smooth.image - large)[changed].mean() < 0.75 * np.abs(plain.image - large)[changed].mean()
