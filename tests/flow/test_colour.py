"""The colour wheel against the published algorithm written out for one pixel."""

import math

import numpy as np

from etc.flow.colour import colour_wheel, flow_to_rgb


def published_wheel():
    """The loops of the Middlebury code: six ramps of 15, 6, 4, 11, 13, 6 colours."""
    wheel = []
    wheel += [(255, 255 * i // 15, 0) for i in range(15)]
    wheel += [(255 - 255 * i // 6, 255, 0) for i in range(6)]
    wheel += [(0, 255, 255 * i // 4) for i in range(4)]
    wheel += [(0, 255 - 255 * i // 11, 255) for i in range(11)]
    wheel += [(255 * i // 13, 0, 255) for i in range(13)]
    wheel += [(255, 0, 255 - 255 * i // 6) for i in range(6)]
    return wheel


def published_colour(u, v, maximum):
    wheel = published_wheel()
    u, v = u / maximum, v / maximum
    radius = math.sqrt(u * u + v * v)
    position = (math.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    low = int(position)
    high = (low + 1) % len(wheel)
    share = position - low
    colour = []
    for channel in range(3):
        value = (1 - share) * wheel[low][channel] / 255 + share * wheel[high][channel] / 255
        value = 1 - radius * (1 - value) if radius <= 1 else value * 0.75
        colour.append(255 * value)
    return colour


def test_the_wheel_is_the_published_one():
    np.testing.assert_array_equal(colour_wheel(), published_wheel())


def test_colours_match_the_published_algorithm():
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 4, (9, 11, 2)).astype(np.float32)
    image = flow_to_rgb(flow, maximum=5.0)
    for y in range(9):
        for x in range(11):
            expected = published_colour(float(flow[y, x, 0]), float(flow[y, x, 1]), 5.0)
            assert np.abs(image[y, x] - np.floor(expected)).max() <= 1


def test_no_motion_is_white_and_directions_have_their_hue():
    flow = np.zeros((1, 5, 2), np.float32)
    flow[0, 1:] = [(2, 0), (-2, 0), (0, 2), (0, -2)]
    still, right, left, down, up = flow_to_rgb(flow)[0].astype(int)
    np.testing.assert_array_equal(still, 255)
    assert right[0] == 255 and right[1:].max() < 60
    assert left[2] == 255 and left[0] < 60
    assert down[0] == 255 and down[1] > 200 and down[2] < 60
    assert up[2] == 255 and up[1] < 60


def test_unknown_vectors_are_black():
    flow = np.ones((1, 3, 2), np.float32)
    flow[0, 0] = 1e10
    flow[0, 1, 1] = np.nan
    image = flow_to_rgb(flow)
    assert (image[0, :2] == 0).all()
    assert image[0, 2].max() == 255


def test_all_zero_flow_has_no_division_by_zero():
    with np.errstate(all="raise"):
        assert (flow_to_rgb(np.zeros((2, 2, 2), np.float32)) == 255).all()
