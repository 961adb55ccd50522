"""The forward-backward check on motion whose occlusions are known."""

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.visibility import forward_backward_visible


def uniform(dx, dy, shape=(20, 30)):
    return np.full((*shape, 2), (dx, dy), np.float32)


def test_consistent_uniform_motion_is_visible_up_to_the_border():
    visible = forward_backward_visible(uniform(4, 0), uniform(-4, 0))
    assert visible[:, :26].all()
    assert not visible[:, 26:].any()


def test_a_moving_square_hides_the_background_before_it():
    """A square moves right by 6 over a still background: exactly the strip that it covers is lost."""
    shape = (24, 40)
    forward, backward = np.zeros((*shape, 2), np.float32), np.zeros((*shape, 2), np.float32)
    forward[8:16, 10:20, 0] = 6
    backward[8:16, 16:26, 0] = -6
    expected = np.ones(shape, bool)
    expected[8:16, 20:26] = False
    np.testing.assert_array_equal(forward_backward_visible(forward, backward), expected)


def test_the_bound_is_the_published_one():
    """At motion m and error e the bound is 0.01 (m^2 + (m - e)^2) + 0.5."""
    for motion, error in ((0.0, 0.7), (0.0, 0.72), (5.0, 0.9), (5.0, 1.0), (8.0, 1.2), (8.0, 1.4)):
        expected = error**2 < 0.01 * (motion**2 + (error - motion) ** 2) + 0.5
        visible = forward_backward_visible(uniform(motion, 0), uniform(error - motion, 0))
        assert visible[10, 10] == expected, (motion, error)
    loose = forward_backward_visible(uniform(0, 0), uniform(3, 0), relative=0, absolute=9.1)
    assert loose.all()
    assert not forward_backward_visible(uniform(0, 0), uniform(3, 0), relative=0, absolute=8.9).any()


def test_the_backward_flow_is_read_between_pixels():
    """A backward flow that grows along x, read at p + 0.5, cancels exactly only with interpolation."""
    forward = uniform(0.5, 0, (4, 40))
    x = np.arange(40, dtype=np.float32)
    backward = np.zeros((4, 40, 2), np.float32)
    backward[..., 0] = 4 * x - 0.5
    # At column 0 the backward flow is read at 0.5: 1.5, so the error is 2; without interpolation it would be 0.
    assert not forward_backward_visible(forward, backward, relative=0, absolute=3.9)[:, 0].any()
    assert forward_backward_visible(forward, backward, relative=0, absolute=4.1)[:, 0].all()


def test_different_shapes_are_refused():
    with pytest.raises(UserError, match="differ in shape"):
        forward_backward_visible(uniform(0, 0), uniform(0, 0, (20, 31)))


def test_huge_vectors_are_not_visible():
    """An unknown vector of a .flo file (1e10) leaves the frame; one in the flow back makes what ends there hidden."""
    there, back = uniform(2, 0), uniform(-2, 0)
    there[3, 4], back[10, 12] = 1e10, -1e10
    with np.errstate(all="raise"):
        visible = forward_backward_visible(there, back)
    expected = np.ones((20, 30), bool)
    expected[:, 28:] = expected[3, 4] = expected[10, 10] = False
    np.testing.assert_array_equal(visible, expected)
