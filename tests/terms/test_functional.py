"""Warping and resizing against exact truths and against loops over pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from etc.terms.functional import resize_flow, resize_visible, warp


def random(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def reference_warp(x, flow):
    """Bilinear backward warp, one pixel at a time."""
    batch, _, height, width = x.shape
    out, inside = np.zeros_like(x), np.zeros((batch, height, width), bool)
    for b, row, column in np.ndindex(batch, height, width):
        u, v = column + flow[b, 0, row, column], row + flow[b, 1, row, column]
        if not (0 <= u <= width - 1 and 0 <= v <= height - 1):
            continue
        inside[b, row, column] = True
        i, j = min(int(v), height - 2), min(int(u), width - 2)
        s, r = v - i, u - j
        top = x[b, :, i, j] * (1 - r) + x[b, :, i, j + 1] * r
        bottom = x[b, :, i + 1, j] * (1 - r) + x[b, :, i + 1, j + 1] * r
        out[b, :, row, column] = top * (1 - s) + bottom * s
    return out, inside


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_warp_equals_loop(memory_format):
    x, flow = random(2, 3, 7, 9), 2.5 * random(2, 2, 7, 9, seed=1)
    warped, inside = warp(x.contiguous(memory_format=memory_format), flow)
    expected, expected_inside = reference_warp(x.numpy(), flow.numpy())
    assert 0 < expected_inside.sum() < expected_inside.size
    np.testing.assert_array_equal(inside, expected_inside)
    np.testing.assert_allclose(warped, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (97, 97), (33, 769)])
def test_zero_flow_is_exactly_the_identity(size, dtype):
    x = random(1, 2, *size, dtype=dtype)
    warped, inside = warp(x, torch.zeros(1, 2, *size))
    assert torch.equal(warped, x)
    assert warped.dtype == dtype
    assert inside.all()


@settings(max_examples=50, deadline=None)
@given(dx=st.integers(-6, 6), dy=st.integers(-6, 6))
def test_whole_pixel_flow_moves_pixels_exactly(dx, dy):
    x = random(1, 2, 5, 6, dtype=torch.float32)
    flow = torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, 5, 6)
    warped, inside = warp(x, flow)
    for row, column in np.ndindex(5, 6):
        within = 0 <= row + dy < 5 and 0 <= column + dx < 6
        assert inside[0, row, column] == within
        expected = x[0, :, row + dy, column + dx] if within else torch.zeros(2)
        assert torch.equal(warped[0, :, row, column], expected)


@pytest.mark.parametrize("value", [1e9, -1e9, float("nan"), float("inf")])
def test_flow_out_of_all_bounds(value):
    x = random(1, 2, 4, 5).requires_grad_()
    warped, inside = warp(x, torch.full((1, 2, 4, 5), value))
    warped.sum().backward()
    assert not inside.any()
    assert (warped == 0).all()
    assert (x.grad == 0).all()


def test_warp_gradients():
    x, flow = random(1, 2, 4, 5).requires_grad_(), random(1, 2, 4, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, flow: warp(x, flow)[0], (x, flow))


def test_resized_flow_describes_the_same_motion():
    """A zoom about the image's centre is linear in the point, so that resizing must give it exactly."""

    def zoom(height, width):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        return 0.1 * torch.stack([columns + 0.5 - width / 2, rows + 0.5 - height / 2]).double()[None]

    small = resize_flow(zoom(32, 64), (4, 16))
    torch.testing.assert_close(small, zoom(4, 16), rtol=1e-12, atol=1e-12)
    same = zoom(32, 64)
    assert resize_flow(same, (32, 64)) is same


def test_resized_mask_is_visible_only_where_all_its_parts_are():
    visible = torch.ones(1, 8, 8, dtype=torch.bool)
    visible[0, 1, 1] = False  # within the 2 x 2 centre of the first 4 x 4 cell
    visible[0, 4, 7] = False  # in the corner of another cell, which the bilinear sample does not touch
    small = resize_visible(visible, (2, 2))
    assert small.tolist() == [[[False, True], [True, True]]]
    assert torch.equal(resize_visible(visible, (8, 8)), visible)
