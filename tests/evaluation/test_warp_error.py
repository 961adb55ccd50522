"""Warp error of probabilities in closed form and against a bilinear warp written out."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from etc.core.errors import UserError
from etc.evaluation.warp_error import warp_error


def softmax(rng, shape):
    scores = np.exp(rng.normal(size=shape))
    return (scores / scores.sum(axis=0)).astype(np.float32)


def test_certain_outputs_differ_by_two():
    one, other = np.zeros((2, 3, 4, 5), np.float32)
    one[0], other[1] = 1, 1
    other[:, 0] = one[:, 0]
    found = warp_error(one, other, np.zeros((4, 5, 2), np.float32))
    assert (found.total, found.counted) == (2.0 * 15, 20)


def test_equal_outputs_moved_by_the_flow_have_no_error():
    scene = softmax(np.random.default_rng(0), (19, 8, 20)).astype(np.float16)
    flow = np.zeros((8, 16, 2), np.float32)
    flow[..., 0] = 4
    found = warp_error(scene[:, :, 4:], scene[:, :, :16], flow)
    assert (found.total, found.counted) == (0.0, 8 * 12)


def test_fractional_motion_and_visibility_by_another_interpolation():
    rng = np.random.default_rng(1)
    now, after = softmax(rng, (5, 9, 11)), softmax(rng, (5, 9, 11))
    flow = rng.uniform(-1.5, 1.5, (9, 11, 2)).astype(np.float32)
    visible = rng.random((9, 11)) < 0.7
    y, x = np.mgrid[:9, :11]
    # A position that rounds to a pixel of the frame is inside; half a pixel beyond the border repeats the border.
    to_x, to_y = x + np.rint(flow[..., 0]), y + np.rint(flow[..., 1])
    counted = visible & (to_x >= 0) & (to_x < 11) & (to_y >= 0) & (to_y < 9)
    positions = [np.clip(y + flow[..., 1], 0, 8), np.clip(x + flow[..., 0], 0, 10)]
    warped = np.stack([map_coordinates(one.astype(np.float64), positions, order=1) for one in after])
    expected = np.square(now - warped).sum(axis=0)[counted].sum()
    found = warp_error(now, after, flow, visible)
    assert found.counted == counted.sum()
    # OpenCV interpolates with weights of 1/32.
    assert found.total == pytest.approx(expected, rel=0.02)


def test_different_shapes_are_refused():
    with pytest.raises(UserError, match="differ in shape"):
        warp_error(np.zeros((2, 3, 3)), np.zeros((3, 3, 3)), np.zeros((3, 3, 2), np.float32))
