"""Frames, label and flow of a sample must still agree after every random change."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from etc.params.training import AugmentParams
from etc.training import augment, device_augment
from etc.training.augment import Sample, draw

SIZE = (64, 96)
PARAMS = AugmentParams(
    crop=(48, 64),
    scale=(0.6, 1.8),
    rotation=20,
    flip=0.5,
    blur=0.5,
    blur_sigma=1.0,
    brightness=0.2,
    contrast=0.2,
    saturation=0.5,
)
STILL = PARAMS.model_copy(
    update={"scale": (1.0, 1.0), "rotation": 0, "flip": 0, "blur": 0, "brightness": 0, "contrast": 0, "saturation": 0}
)


def apply(augmentation, images, label, flow=None, visible=None):
    """Change whole frames."""
    window = augmentation.window
    frames = [image[window] for image in images]
    return augment.apply(
        augmentation, frames, label[window], *(one if one is None else one[window] for one in (flow, visible))
    )


def plain(augmentation, images, label, flow, visible):
    """The same arithmetic on whole frames and a whole crop at once, as it is written in the docstrings."""
    linear = np.linalg.inv(augmentation.matrix[:, :2])
    inverse = np.column_stack([linear, -linear @ augmentation.matrix[:, 2]])
    rows, columns = np.mgrid[: augmentation.crop[0], : augmentation.crop[1]].astype(np.float64)
    x, y = (row[0] * columns + row[1] * rows + row[2] for row in inverse)
    maps = x.astype(np.float32), y.astype(np.float32)

    def sample(array, how, outside=0):
        return cv2.remap(array, *maps, how, borderMode=cv2.BORDER_CONSTANT, borderValue=[outside] * 4)

    def inside(x, y):
        height, width = label.shape
        return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)

    changed = []
    for image in images:
        one = cv2.transform(sample(image.astype(np.float32), cv2.INTER_LINEAR), augmentation.colour)
        one = np.clip(one, 0, 255)
        if augmentation.sigma > 0:
            one = cv2.GaussianBlur(one, (0, 0), augmentation.sigma)
        changed.append(one / np.float32(255))
    moved = sample(flow, cv2.INTER_LINEAR)
    seen = inside(x, y) & inside(x + moved[..., 0], y + moved[..., 1])
    seen &= sample(visible.astype(np.uint8), cv2.INTER_NEAREST).astype(bool)
    moved = moved @ augmentation.matrix[:, :2].T.astype(np.float32)
    return Sample(np.stack(changed), sample(label, cv2.INTER_NEAREST, 255), moved, seen)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(20, 150), st.integers(20, 150), st.booleans())
def test_the_window_in_parts_gives_the_bits_of_the_whole(seed, height, width, still):
    rng = np.random.default_rng(seed)
    crop = tuple(8 * int(side) for side in rng.integers(1, 20, 2))
    # Without rotation and scale, sources lie halfway between pixels, where the nearest one depends on the rounding.
    params = (STILL if still else PARAMS).model_copy(update={"crop": crop, **({} if still else {"scale": (0.3, 3.0)})})
    images = [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(2)]
    flow = rng.normal(0, 9, (height, width, 2)).astype(np.float32)
    given = images, images[0][..., 0].copy(), flow, rng.random((height, width)) < 0.9
    augmentation = draw(rng, (height, width), params)
    found, expected = apply(augmentation, *given), plain(augmentation, *given)
    for name, one in vars(expected).items():
        assert getattr(found, name).tobytes() == one.tobytes(), name


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(20, 150), st.integers(20, 150), st.booleans(), st.booleans())
def test_the_device_changes_samples_as_the_loader_does(seed, height, width, still, pair):
    rng = np.random.default_rng(seed)
    crop = tuple(8 * int(side) for side in rng.integers(1, 20, 2))
    params = (STILL if still else PARAMS).model_copy(update={"crop": crop, **({} if still else {"scale": (0.3, 3.0)})})
    augmentation = draw(rng, (height, width), params)
    images = [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(2)]
    flow = rng.normal(0, 9, (height, width, 2)).astype(np.float32)
    visible = rng.random((height, width)) < 0.9
    given = images, images[0][..., 0].copy(), *((flow, visible) if pair else ())
    expected = apply(augmentation, *given)
    frames, *rest = given
    there, *others = [torch.from_numpy(one[augmentation.window].copy()) for one in (*frames, *rest)]
    changed, label, moved, valid = device_augment.apply(augmentation, [there, others[0]], *others[1:])
    np.testing.assert_allclose(changed.numpy(), expected.images, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(label.numpy(), expected.label)
    if not pair:
        assert moved is None and valid is None and expected.flow is None
        return
    np.testing.assert_allclose(moved.numpy(), expected.flow, rtol=0, atol=1e-3)
    # A vector that ends on the border itself may end beside it.
    assert (valid.numpy() != expected.visible).sum() <= 2


def test_frames_that_were_not_cut_are_refused():
    augmentation = draw(np.random.default_rng(0), SIZE, STILL)
    with pytest.raises(ValueError, match="cut it first"):
        augment.apply(augmentation, [np.zeros((*SIZE, 3), np.uint8)], np.zeros(SIZE, np.uint8))


def smooth_scene(rng, size=SIZE):
    """A partner frame without sharp edges and a slowly varying flow, so that interpolation is not what is tested."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    waves = rng.uniform(-0.16, 0.16, (3, 3, 2))
    image = np.stack([np.cos(w[:, :1, None] * x + w[:, 1:, None] * y).sum(0) for w in waves], axis=-1)
    partner = np.round(127.5 + 25 * image).astype(np.uint8)
    slow = rng.uniform(-0.05, 0.05, (2, 2))
    base = rng.uniform(-4, 4, 2)
    flow = np.stack([base[i] + 2 * np.sin(slow[i, 0] * x + slow[i, 1] * y) for i in range(2)], axis=-1)
    return partner, flow.astype(np.float32)


def backward_warp(image, flow):
    """x(p + F(p)), bilinear, by scipy."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float64)
    at = [y + flow[..., 1], x + flow[..., 0]]
    return np.stack([map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(3)], axis=-1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_warping_the_changed_partner_is_changing_the_warped_partner(seed):
    rng = np.random.default_rng(seed)
    partner, flow = smooth_scene(rng)
    frame = np.round(backward_warp(partner.astype(np.float64), flow)).astype(np.uint8)
    sample = apply(draw(rng, SIZE, PARAMS), [frame, partner], np.zeros(SIZE, np.uint8), flow)
    warped = backward_warp(sample.images[1].astype(np.float64), sample.flow)
    height, width = PARAMS.crop
    y, x = np.mgrid[:height, :width]
    ends = np.stack([x + sample.flow[..., 0], y + sample.flow[..., 1]], axis=-1)
    # The blur reaches three pixels over the border of the crop and of the frame.
    interior = sample.visible & (np.minimum(ends, [width - 1, height - 1] - ends) >= 3).all(-1)
    interior[[0, 1, 2, -3, -2, -1]] = False
    interior[:, [0, 1, 2, -3, -2, -1]] = False
    interior &= eroded(sample.visible)
    assume(interior.sum() > 50)
    assert np.abs(warped - sample.images[0])[interior].mean() < 1 / 255


def eroded(mask, steps=4):
    for _ in range(steps):
        inner = mask.copy()
        inner[1:] &= mask[:-1]
        inner[:-1] &= mask[1:]
        inner[:, 1:] &= mask[:, :-1]
        inner[:, :-1] &= mask[:, 1:]
        mask = inner
    return mask


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_label_follows_by_nearest_and_is_ignored_outside(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 9, SIZE).astype(np.uint8)
    augmentation = draw(rng, SIZE, PARAMS)
    image = np.zeros((*SIZE, 3), np.uint8)
    changed = apply(augmentation, [image], label).label
    x, y = augmentation.sources()
    # Within a thousandth of a pixel of the middle between two, either is the nearest.
    clear = (np.abs(x % 1 - 0.5) > 1e-3) & (np.abs(y % 1 - 0.5) > 1e-3)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < SIZE[1]) & (row < SIZE[0])
    expected = np.where(inside, label[row.clip(0, SIZE[0] - 1), column.clip(0, SIZE[1] - 1)], 255)
    np.testing.assert_array_equal(changed[clear], expected[clear])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_a_point_and_its_partner_land_where_the_changed_flow_says(seed):
    rng = np.random.default_rng(seed)
    augmentation = draw(rng, SIZE, PARAMS)
    motion = rng.uniform(-5, 5, 2).astype(np.float32)
    flow = np.broadcast_to(motion, (*SIZE, 2)).copy()
    sample = apply(augmentation, [np.zeros((*SIZE, 3), np.uint8)] * 2, np.zeros(SIZE, np.uint8), flow)
    point = np.array([40.0, 30.0])
    linear, shift = augmentation.matrix[:, :2], augmentation.matrix[:, 2]
    expected = (linear @ (point + motion) + shift) - (linear @ point + shift)
    # The outermost pixels mix with the zeros outside the frame.
    inner = eroded(sample.visible, 1)
    assert inner.any()
    assert np.abs(sample.flow[inner] - expected).max() < 1e-4


def test_no_change_is_exactly_a_crop():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    label = rng.integers(0, 9, SIZE).astype(np.uint8)
    flow = rng.normal(size=(*SIZE, 2)).astype(np.float32)
    whole = STILL.model_copy(update={"crop": SIZE})
    sample = apply(draw(rng, SIZE, whole), [image], label, flow)
    np.testing.assert_array_equal(sample.images[0], image / np.float32(255))
    np.testing.assert_array_equal(sample.label, label)
    np.testing.assert_array_equal(sample.flow, flow)


def test_flip_mirrors_the_flow():
    rng = np.random.default_rng(0)
    flow = rng.normal(size=(*SIZE, 2)).astype(np.float32)
    image = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    flipped = STILL.model_copy(update={"crop": SIZE, "flip": 1.0})
    sample = apply(draw(rng, SIZE, flipped), [image], image[..., 0], flow)
    np.testing.assert_array_equal(sample.images[0], image[:, ::-1] / np.float32(255))
    np.testing.assert_array_equal(sample.flow, flow[:, ::-1] * np.float32([-1, 1]))


def test_all_frames_get_the_same_colours():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    for _ in range(5):
        sample = apply(draw(rng, SIZE, PARAMS), [image, image, image], image[..., 0])
        np.testing.assert_array_equal(sample.images[0], sample.images[1])
        np.testing.assert_array_equal(sample.images[0], sample.images[2])


def test_saturation_leaves_grey_alone_and_brightness_scales():
    grey = np.full((*SIZE, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    changed = apply(draw(rng, SIZE, STILL.model_copy(update={"saturation": 1.0})), [grey], grey[..., 0])
    np.testing.assert_allclose(changed.images, 100 / 255, atol=1e-6)
    brightened = [
        apply(draw(rng, SIZE, STILL.model_copy(update={"brightness": 0.5})), [grey], grey[..., 0]).images
        for _ in range(200)
    ]
    factors = np.array([image.mean() for image in brightened]) * 255 / 100
    assert 0.5 <= factors.min() < 0.55 and 1.45 < factors.max() <= 1.5


def test_visible_excludes_what_leaves_the_frame_and_what_is_hidden():
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[..., 0] = 10
    visible = np.ones(SIZE, bool)
    visible[:20] = False
    whole = STILL.model_copy(update={"crop": SIZE})
    image = np.zeros((*SIZE, 3), np.uint8)
    seen = apply(draw(np.random.default_rng(0), SIZE, whole), [image] * 2, image[..., 0], flow, visible).visible
    expected = visible.copy()
    expected[:, SIZE[1] - 10 :] = False
    np.testing.assert_array_equal(seen, expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.75, 1.8))
def test_a_crop_that_fits_stays_inside_the_frame(seed, scale):
    upright = PARAMS.model_copy(update={"rotation": 0, "scale": (scale, scale)})
    x, y = draw(np.random.default_rng(seed), SIZE, upright).sources()
    half = 0.5 / scale
    assert x.min() >= -0.5 + half - 1e-6 and x.max() <= SIZE[1] - 0.5 - half + 1e-6
    assert y.min() >= -0.5 + half - 1e-6 and y.max() <= SIZE[0] - 0.5 - half + 1e-6


def test_a_frame_smaller_than_the_crop_is_wholly_inside_it():
    small = PARAMS.model_copy(update={"rotation": 0, "scale": (0.6, 0.6)})
    label = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 200
    for seed in range(20):
        augmentation = draw(np.random.default_rng(seed), SIZE, small)
        corners = augmentation.matrix @ np.array([[0, SIZE[1] - 1], [0, SIZE[0] - 1], [1, 1]])
        assert corners.min() >= -1 and (corners.max(1) <= [64, 48]).all()
        changed = apply(augmentation, [np.zeros((*SIZE, 3), np.uint8)], label.astype(np.uint8)).label
        assert (changed == 255).any() and (changed != 255).any()


def test_what_is_switched_off_does_not_change_the_other_draws():
    full, unturned = (
        draw(np.random.default_rng(5), SIZE, PARAMS.model_copy(update={"rotation": angle})) for angle in (20, 0)
    )
    assert np.linalg.det(full.matrix[:, :2]) == pytest.approx(np.linalg.det(unturned.matrix[:, :2]))
    np.testing.assert_array_equal(full.colour, unturned.colour)
    assert full.sigma == unturned.sigma
