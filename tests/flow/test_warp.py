"""Warps against plain loops, exact truth and ``torch.nn.functional.grid_sample``."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.core.errors import UserError
from etc.flow.warp import floor_positions_in_steps, inside_frame, warp_image, warp_labels

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


def slow_warp(label, flow, outside):
    """One pixel at a time; Python's ``round`` goes to even on halves."""
    height, width = label.shape
    warped = np.full_like(label, outside)
    inside = np.zeros(label.shape, bool)
    for y in range(height):
        for x in range(width):
            column, row = x + round(float(flow[y, x, 0])), y + round(float(flow[y, x, 1]))
            if 0 <= column < width and 0 <= row < height:
                warped[y, x] = label[row, column]
                inside[y, x] = True
    return warped, inside


@given(st.data())
def test_nearest_warp_matches_a_plain_loop(data):
    shape = data.draw(SHAPES)
    label = data.draw(hnp.arrays(np.uint8, shape))
    quarter_steps = data.draw(hnp.arrays(np.int16, (*shape, 2), elements=st.integers(-60, 60)))
    flow = quarter_steps.astype(np.float32) / 4
    expected, inside = slow_warp(label, flow, 9)
    np.testing.assert_array_equal(warp_labels(label, flow, outside=9), expected)
    np.testing.assert_array_equal(inside_frame(flow), inside)


@given(st.data())
def test_zero_flow_is_exactly_the_identity(data):
    shape = data.draw(SHAPES)
    label = data.draw(hnp.arrays(np.uint8, shape))
    image = data.draw(hnp.arrays(np.uint8, (*shape, 3)))
    flow = np.zeros((*shape, 2), np.float32)
    warped, inside = warp_image(image, flow)
    np.testing.assert_array_equal(warped, image)
    np.testing.assert_array_equal(warp_labels(label, flow), label)
    assert inside.all() and inside_frame(flow).all()


def test_a_uniform_half_pixel_motion_stays_uniform():
    """The flow is rounded, not the sum: every column moves alike, and opposite motions move by opposite amounts."""
    label = np.arange(8, dtype=np.uint8)[None].repeat(2, axis=0)
    for motion, moved in ((0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2)):
        flow = np.zeros((2, 8, 2), np.float32)
        flow[..., 0] = motion
        warped, inside = warp_labels(label, flow), inside_frame(flow)
        np.testing.assert_array_equal(warped[inside], (label.astype(int) + moved)[inside])
        assert inside.sum() == 2 * (8 - abs(moved))


def test_the_warp_goes_backward():
    """A square that moves right by 3 and down by 1 is found again by the flow t to t+1."""
    first, second = np.zeros((12, 16), np.uint8), np.zeros((12, 16), np.uint8)
    first[4:8, 5:9] = 1
    second[5:9, 8:12] = 1
    flow = np.zeros((12, 16, 2), np.float32)
    flow[first == 1] = (3, 1)
    warped = warp_labels(second, flow)
    np.testing.assert_array_equal(warped[first == 1], 1)
    assert (warp_labels(second, -flow) == 1).sum() < (warped == 1).sum()


@pytest.mark.parametrize("far", [1e4, 1e9, 3e38, -3e38])
def test_far_vectors_are_outside(far):
    flow = np.full((3, 4, 2), far, np.float32)
    assert not inside_frame(flow).any()
    assert (warp_labels(np.zeros((3, 4), np.uint8), flow) == 255).all()


def test_bilinear_warp_matches_grid_sample():
    rng = np.random.default_rng(1)
    image = rng.random((40, 50, 3)).astype(np.float32)
    flow = rng.normal(0, 6, (40, 50, 2)).astype(np.float32)
    warped, inside = warp_image(image, flow)
    y, x = np.mgrid[:40, :50]
    # align_corners=True maps -1..1 to the first and last pixel centre.
    grid = np.stack([(x + flow[..., 0]) / 49 * 2 - 1, (y + flow[..., 1]) / 39 * 2 - 1], -1)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(image).permute(2, 0, 1)[None].double(),
        torch.from_numpy(grid)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    np.testing.assert_allclose(warped, expected[0].permute(1, 2, 0).numpy(), atol=2e-5)
    np.testing.assert_array_equal(inside, slow_warp(np.zeros((40, 50), np.uint8), flow, 1)[1])


def test_a_linear_ramp_moves_by_the_fraction():
    """On a ramp the bilinear warp is exact: the value grows by the motion, a quarter of a pixel too."""
    ramp = np.arange(20, dtype=np.float32)[None].repeat(3, axis=0)
    flow = np.zeros((3, 20, 2), np.float32)
    flow[..., 0] = 0.25
    warped, _ = warp_image(ramp, flow)
    np.testing.assert_array_equal(warped[:, :-1], ramp[:, :-1] + 0.25)


@pytest.mark.parametrize("spread", [0.4, 30.0, 1e6], ids=["slow", "fast", "far outside"])
def test_floor_positions_in_steps(spread):
    rng = np.random.default_rng(0)
    flow = (np.rint(rng.normal(0, spread, (37, 50, 2)) * 256) / 256).astype(np.float32)
    flow[0, :2] = [[-1 / 256, 1 / 256], [-0.0, -1.0]]
    reach = np.clip(np.floor(flow), -16383, 16383).astype(np.int16)
    expected = reach + np.stack(np.meshgrid(np.arange(50), np.arange(37)), axis=2)
    positions = floor_positions_in_steps(flow)
    np.testing.assert_array_equal(positions, expected)
    assert positions.dtype == np.int16


@pytest.mark.parametrize("odd", [1 / 512, 3.1, 3e9, -3e9, 2.0**31, 3e38, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("row", [0, 17, 36])
def test_floor_positions_in_steps_sees_every_other_vector(row, odd):
    flow = np.zeros((37, 50, 2), np.float32)
    flow[row, 49, 1] = odd
    assert floor_positions_in_steps(flow) is None


def test_wrong_input_is_refused():
    label, flow = np.zeros((4, 5), np.uint8), np.zeros((4, 5, 2), np.float32)
    with pytest.raises(UserError, match=r"\(4, 6\)"):
        warp_labels(np.zeros((4, 6), np.uint8), flow)
    with pytest.raises(UserError, match="float64"):
        warp_labels(label, flow.astype(np.float64))
    flow[2, 3, 1] = np.nan
    with pytest.raises(UserError, match="row 2, column 3"):
        warp_labels(label, flow)
    with pytest.raises(UserError, match="too large"):
        inside_frame(np.zeros((1, 17000, 2), np.float32))
