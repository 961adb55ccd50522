"""TC of simple patterns under all four protocols against values derived by hand.

Sizes are named H x W. ``vspw_released`` reads position u of a row of W pixels at u + u / (W - 1) - 1/2, rounded, so
under whole-pixel motion a pixel that lands on the last column of an even W falls outside and becomes class 0; the same
holds for rows. Every value below follows from this and from counting pixels.
"""

import numpy as np
import pytest

from etc.evaluation.protocols import PROTOCOLS
from etc.evaluation.tc import class_consistency, pair_counts, pixel_agreement, pool, temporal_consistency

FAITHFUL = ["corrected", "occlusion_aware"]


def uniform(shape, dx, dy=0.0):
    return np.full((*shape, 2), (dx, dy), np.float32)


def score(protocol, first, second, flow, classes, visible=None):
    visible = np.ones(first.shape, bool) if visible is None else visible
    return temporal_consistency(pair_counts(first, second, flow, visible, classes, protocol), protocol)


def halves(shape, boundary, left, right):
    """Class ``left`` in the columns before ``boundary``, ``right`` from there on."""
    label = np.full(shape, left, np.uint8)
    label[:, boundary:] = right
    return label


@pytest.mark.parametrize(
    ("protocol", "shape", "expected"),
    [
        ("corrected", (4, 6), 1),
        ("occlusion_aware", (4, 6), 1),
        # Four classes of which three never occur: they count as 0.
        ("etc_released", (4, 6), 1 / 4),
        # Even size: the last row and column become class 0, (H-1)(W-1)/HW of class 2 remains. Class 0 is in no map of
        # a frame t, so it is not in the mean.
        ("vspw_released", (4, 6), 3 * 5 / (4 * 6)),
        ("vspw_released", (20, 30), 19 * 29 / (20 * 30)),
        ("vspw_released", (5, 7), 1),
    ],
)
def test_a_constant_at_zero_flow(protocol, shape, expected):
    label = np.full(shape, 2, np.uint8)
    assert score(protocol, label, label, uniform(shape, 0), 4) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("protocol", FAITHFUL)
@pytest.mark.parametrize("motion", [(0, 0), (3, -2), (0.25, 0.5), (-0.7, 1.3)])
def test_a_constant_under_motion_is_exactly_one(protocol, motion):
    label = np.full((8, 12), 2, np.uint8)
    assert score(protocol, label, label, uniform(label.shape, *motion), 4) == 1.0


@pytest.mark.parametrize("protocol", FAITHFUL)
def test_identical_maps_at_zero_flow_are_exactly_one(protocol):
    label = np.random.default_rng(0).integers(0, 19, (20, 30)).astype(np.uint8)
    assert score(protocol, label, label, uniform(label.shape, 0), 19) == 1.0


def test_identical_maps_at_zero_flow_are_not_one_for_vspw():
    """Half class 0, half class 1, H and W even: the lost L = H + W/2 - 1 pixels of class 1 turn to class 0."""
    height, width = 8, 12
    label = halves((height, width), width // 2, 0, 1)
    half, lost = height * width / 2, height + width / 2 - 1
    expected = (half / (half + lost) + (half - lost) / half) / 2
    assert score("vspw_released", label, label, uniform(label.shape, 0), 2) == pytest.approx(expected)
    odd = halves((9, 13), 6, 0, 1)
    assert score("vspw_released", odd, odd, uniform(odd.shape, 0), 2) == 1.0


def test_a_checkerboard_moved_by_one_pixel():
    """The board moves right by 1 under the right flow. H and W even, each class on half of the pixels."""
    height, width = 6, 10
    y, x = np.mgrid[:height, :width]
    board, moved = (x + y) % 2, (x - 1 + y) % 2
    board, moved = board.astype(np.uint8), moved.astype(np.uint8)
    flow = uniform(board.shape, 1)
    for protocol in FAITHFUL:
        counts = pair_counts(board, moved, flow, np.ones(board.shape, bool), 2, protocol)
        assert temporal_consistency(counts, protocol) == 1.0
        assert counts.counted == height * (width - 1)
    # The last column reads itself again, which is wrong everywhere: intersection H(W-1)/2, union H(W+1)/2.
    assert score("etc_released", board, moved, flow, 2) == pytest.approx((width - 1) / (width + 1), abs=1e-9)
    # The last two columns and the last row are outside: (H-1)(W-2)/2 pixels of class 1 remain.
    half = height * width / 2
    kept = (height - 1) * (width - 2) / 2
    expected = (kept / half + half / (half + (half - kept))) / 2
    assert score("vspw_released", board, moved, flow, 2) == pytest.approx(expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_checkerboard_under_zero_flow_after_one_pixel(protocol):
    """Every pixel has changed. (VSPW: what leaves an even frame becomes class 0, so let the sizes be odd.)"""
    y, x = np.mgrid[:7, :11]
    board, moved = ((x + y) % 2).astype(np.uint8), ((x + y + 1) % 2).astype(np.uint8)
    assert score(protocol, board, moved, uniform(board.shape, 0), 2) == 0.0
    assert score(protocol, board, board, uniform(board.shape, 0), 2) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_moving_square_with_known_occlusion(protocol):
    """A 10x8 square moves right by 6 over still ground.

    Ground pixels in the strip of 6x8 before it find the square there: union and intersection follow by counting.
    Leaving the hidden strip out, as ``occlusion_aware`` does, everything agrees. The square does not touch the
    border, and what VSPW loses there becomes class 0, which is the ground.
    """
    height, width = 24, 40
    first, second = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    first[8:16, 10:20] = 1
    second[8:16, 16:26] = 1
    flow = np.zeros((height, width, 2), np.float32)
    flow[first == 1, 0] = 6
    visible = np.ones((height, width), bool)
    visible[8:16, 20:26] = False
    ground, square, strip = height * width - 80, 80, 48
    counts = pair_counts(first, second, flow, visible, 2, protocol)
    if protocol == "occlusion_aware":
        assert temporal_consistency(counts, protocol) == 1.0
        assert counts.counted == ground + square - strip
    else:
        np.testing.assert_array_equal(counts.intersection, [ground - strip, square])
        np.testing.assert_array_equal(counts.union, [ground, square + strip])
        expected = ((ground - strip) / ground + square / (square + strip)) / 2
        assert temporal_consistency(counts, protocol) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_direction_shows(protocol):
    """Stripes of three classes, one column each, move right by 1: the turned flow reads another class everywhere."""
    x = np.arange(31)[None].repeat(9, axis=0)
    first, second = (x % 3).astype(np.uint8), ((x - 1) % 3).astype(np.uint8)
    right, turned = (score(protocol, first, second, uniform(first.shape, dx), 3) for dx in (1, -1))
    assert right > 0.9
    assert turned < 0.05
    if protocol in FAITHFUL:
        assert (right, turned) == (1.0, 0.0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_horizontal_and_vertical_are_not_exchanged(protocol):
    """The same stripes lying down, moving down by 1."""
    y = np.arange(31)[:, None].repeat(9, axis=1)
    first, second = (y % 3).astype(np.uint8), ((y - 1) % 3).astype(np.uint8)
    assert score(protocol, first, second, uniform(first.shape, 0, 1), 3) > 0.9
    assert score(protocol, first, second, uniform(first.shape, 1, 0), 3) < 0.05


@pytest.mark.parametrize("motion", [0.25, -0.25, 0.5, -0.5])
@pytest.mark.parametrize("protocol", FAITHFUL)
def test_up_to_half_a_pixel_the_nearest_warp_stands_still(protocol, motion):
    label = np.random.default_rng(0).integers(0, 19, (16, 16)).astype(np.uint8)
    assert score(protocol, label, label, uniform(label.shape, motion, -motion), 19) == 1.0


@pytest.mark.parametrize("width", [16, 64])
def test_a_quarter_pixel_invents_classes_in_etc(width):
    """Class 0 beside class 4, boundary at W/2: there 3/4 * 0 + 1/4 * 4 = 1, a class that no map holds.

    Class 0 keeps W/2 - 1 of W/2 columns, class 4 is whole, classes 1, 2 and 3 count as 0.
    """
    label = halves((3, width), width // 2, 0, 4)
    flow = uniform(label.shape, 0.25)
    expected = ((1 - 2 / width) + 0 + 0 + 0 + 1) / 5
    counts = pair_counts(label, label, flow, None, 5, "etc_released")
    assert temporal_consistency(counts, "etc_released") == pytest.approx(expected, abs=1e-9)
    assert pixel_agreement(counts) == 1 - 1 / width
    assert score("corrected", label, label, flow, 5) == 1.0


def test_a_quarter_pixel_favours_low_ids_in_etc():
    """Class 1 left of class 0: 3/4 is cut to 0, so class 1 loses a column and class 0 gains it."""
    width = 16
    label = halves((3, width), width // 2, 1, 0)
    half = width / 2
    expected = ((half - 1) / half + half / (half + 1)) / 2
    assert score("etc_released", label, label, uniform(label.shape, 0.25), 2) == pytest.approx(expected, abs=1e-9)
    # The other way round 1/4 is cut to 0 too: nothing is lost.
    mirrored = halves((3, width), width // 2, 0, 1)
    assert score("etc_released", mirrored, mirrored, uniform(mirrored.shape, 0.25), 2) == pytest.approx(1, abs=1e-9)


def test_a_quarter_pixel_moves_the_right_quarter_in_vspw():
    """W = 17: position u = x + 1/4 is read at u + u/16 - 1/2, which rounds to x + 1 once u > 12, so from x = 12 on.

    With class 1 in the columns 0-13 and class 2 in 14-16: column 13 reads class 2, column 16 reads outside, class 0.
    """
    label = halves((5, 17), 14, 1, 2)
    counts = pair_counts(label, label, uniform(label.shape, 0.25), None, 3, "vspw_released")
    np.testing.assert_array_equal(counts.intersection, 5 * np.array([0, 13, 2]))
    np.testing.assert_array_equal(counts.union, 5 * np.array([1, 14, 4]))
    np.testing.assert_array_equal(counts.source_pixels, 5 * np.array([0, 14, 3]))
    assert temporal_consistency(counts, "vspw_released") == pytest.approx((13 / 14 + 2 / 4) / 2)
    assert score("corrected", label, label, uniform(label.shape, 0.25), 3) == 1.0


def test_vspw_averages_over_the_classes_of_all_frames_t():
    """Class 0 comes from outside in both pairs; once a frame t holds it, it counts for the pixels of both."""
    one, other = np.full((4, 6), 2, np.uint8), halves((4, 6), 3, 0, 2)
    counts = [pair_counts(label, label, uniform((4, 6), 0), None, 4, "vspw_released") for label in (one, other)]
    np.testing.assert_array_equal(counts[0].source_pixels, [0, 0, 24, 0])
    assert np.isnan(class_consistency(counts[0], "vspw_released")).tolist() == [True, True, False, True]
    both = pool(counts)
    # Lost: 9 pixels of class 2 in the first pair, 6 in the second, where class 0 loses none.
    np.testing.assert_array_equal(class_consistency(both, "vspw_released"), [12 / 27, np.nan, 21 / 36, np.nan])
    assert temporal_consistency(both, "vspw_released") == pytest.approx((12 / 27 + 21 / 36) / 2)


def test_what_leaves_the_frame():
    """Everything moves right by 3 of 13 columns; the last 3 columns leave. Halves of class 1 and class 0, H = 5.

    ``corrected`` leaves them out. ``etc_released`` compares them with the border column, which here is their class.
    ``vspw_released`` compares them with class 0, which here is their class too; mirrored, it is not.
    """
    first, second = halves((5, 13), 6, 1, 0), halves((5, 13), 9, 1, 0)
    flow = uniform(first.shape, 3)
    counts = pair_counts(first, second, flow, None, 2)
    assert counts.counted == 5 * 10
    assert temporal_consistency(counts) == 1.0
    assert score("etc_released", first, second, flow, 2) == pytest.approx(1, abs=1e-9)
    assert score("vspw_released", first, second, flow, 2) == 1.0
    # Class 0 left (6 columns), class 1 right (7), of which 3 leave and become class 0.
    mirrored = score("vspw_released", 1 - first, 1 - second, flow, 2)
    assert mirrored == pytest.approx((6 / 9 + 4 / 7) / 2)
