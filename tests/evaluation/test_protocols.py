"""Each TC protocol against a second computation written another way.

``corrected`` and ``occlusion_aware``: one pixel at a time. ``etc_released``: the kernel's arithmetic with exact
fractions, then ``np.histogram``. ``vspw_released``: torch's ``grid_sample`` as the released script calls it.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.errors import UserError
from etc.evaluation.protocols import PROTOCOLS, protocol_named
from etc.evaluation.tc import pair_counts, temporal_consistency

CLASSES = 5
SHAPE = (6, 9)
LABELS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 4, 255]))
FLOWS = hnp.arrays(np.float32, (*SHAPE, 2), elements=st.floats(-12, 12, width=32)) | hnp.arrays(
    np.int8, (*SHAPE, 2), elements=st.integers(-12, 12)
).map(lambda steps: steps.astype(np.float32) / 4)


def counts_of(pixels, classes=CLASSES):
    """Counts from a list of (id at t, id warped)."""
    intersection = [sum(a == b == c for a, b in pixels) for c in range(classes)]
    union = [sum(c in (a, b) for a, b in pixels) for c in range(classes)]
    return intersection, union, sum(intersection), len(pixels)


def assert_counts(counts, expected):
    np.testing.assert_array_equal(counts.intersection, expected[0])
    np.testing.assert_array_equal(counts.union, expected[1])
    assert (counts.same, counts.counted) == tuple(expected[2:])
    assert counts.intersection.dtype == counts.union.dtype == np.int64


@given(first=LABELS, second=LABELS, flow=FLOWS, visible=hnp.arrays(bool, SHAPE))
def test_corrected_and_occlusion_aware_pixel_by_pixel(first, second, flow, visible):
    pixels, seen = [], []
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            row, column = y + round(float(flow[y, x, 1])), x + round(float(flow[y, x, 0]))
            if not (0 <= row < SHAPE[0] and 0 <= column < SHAPE[1]):
                continue
            pair = (int(first[y, x]), int(second[row, column]))
            if 255 in pair:
                continue
            pixels.append(pair)
            if visible[y, x]:
                seen.append(pair)
    assert_counts(pair_counts(first, second, flow, None, CLASSES), counts_of(pixels))
    assert_counts(pair_counts(first, second, flow, visible, CLASSES, "corrected"), counts_of(pixels))
    assert_counts(pair_counts(first, second, flow, visible, CLASSES, "occlusion_aware"), counts_of(seen))


def resample2d_pixel(label, x, y, dx, dy):
    """FlowNet2's kernel for one pixel: exact fractions, rounded where the C code rounds."""
    height, width = label.shape

    def rounded(value, kind):
        # Fraction to float is correctly rounded to double.
        return kind(float(value))

    xf, yf = np.float32(x) + dx, np.float32(y) + dy
    left, top = np.floor(xf), np.floor(yf)
    alpha, beta = Fraction(float(xf - left)), Fraction(float(yf - top))
    columns = [max(min(int(edge), width - 1), 0) for edge in (left, left + 1)]
    rows = [max(min(int(edge), height - 1), 0) for edge in (top, top + 1)]
    one_alpha = Fraction(float(rounded(1 - alpha, np.float64)))
    one_beta = Fraction(float(rounded(1 - beta, np.float64)))
    value = np.float32(0)
    for a, b, row, column in ((one_alpha, one_beta, 0, 0), (alpha, one_beta, 0, 1), (one_alpha, beta, 1, 0)):
        weight = Fraction(float(rounded(a * b, np.float64)))
        term = rounded(weight * int(label[rows[row], columns[column]]), np.float64)
        value = value + np.float32(term)
    weight = Fraction(float(np.float32(float(alpha * beta))))
    fused = weight * int(label[rows[1], columns[1]]) + Fraction(float(value))
    return int(np.float32(float(fused)))


def pooled_by_histogram(first, warped, classes):
    """The released pooling: 255 in the warped map masks both, ``np.histogram`` over bins 0..C."""
    first, warped = first.astype(int).ravel(), warped.astype(int).ravel()
    first = np.where(warped == 255, 255, first)
    edges = list(range(classes + 1))
    agreeing = np.histogram(first[first == warped], bins=edges)[0]
    areas = [np.histogram(ids, bins=edges)[0] for ids in (first, warped)]
    return agreeing, areas[0] + areas[1] - agreeing, agreeing.sum(), areas[1].sum()


@settings(deadline=None, max_examples=60)
@given(first=LABELS, second=LABELS, flow=FLOWS)
def test_etc_released_is_the_kernel_and_the_histogram(first, second, flow):
    warped = np.array([[resample2d_pixel(second, x, y, *flow[y, x]) for x in range(SHAPE[1])] for y in range(SHAPE[0])])
    np.testing.assert_array_equal(protocol_named("etc_released").warp(second, flow, None), warped)
    counts = pair_counts(first, second, flow, None, CLASSES, "etc_released")
    assert_counts(counts, pooled_by_histogram(first, warped, CLASSES))


def test_etc_released_is_the_kernel_to_the_last_bit():
    """Many pixels of equal neighbours: each step's rounding decides which of them fall to the id below."""
    label = np.repeat(np.arange(1, 19, dtype=np.uint8), 8)[:, None].repeat(60, axis=1)
    flow = np.random.default_rng(0).uniform(-3, 3, (*label.shape, 2)).astype(np.float32)
    warped = [[resample2d_pixel(label, x, y, *flow[y, x]) for x in range(60)] for y in range(len(label))]
    np.testing.assert_array_equal(protocol_named("etc_released").warp(label, flow, None), warped)


def test_etc_released_closes_the_last_bin():
    """Id C (here 4 of 4 classes) is counted as class C - 1, as np.histogram does."""
    label = np.array([[0, 3, 4, 5]], np.uint8)
    counts = pair_counts(label, label, np.zeros((1, 4, 2), np.float32), None, 4, "etc_released")
    np.testing.assert_array_equal(counts.intersection, [1, 0, 0, 2])
    assert_counts(counts, pooled_by_histogram(label, label, 4))


def test_etc_released_mixes_ids_at_borders():
    """Between id 0 and id 10 half-way lies id 5; outside the frame the border is repeated and counted."""
    label = np.array([[0, 0, 10, 10]], np.uint8)
    flow = np.zeros((1, 4, 2), np.float32)
    flow[..., 0] = 0.5
    warped = protocol_named("etc_released").warp(label, flow, None)
    np.testing.assert_array_equal(warped, [[0, 5, 10, 10]])
    counts = pair_counts(label, label, flow, None, 11, "etc_released")
    assert counts.counted == 4


def test_etc_released_loses_ids_to_truncation():
    """Even in a map of one single id, rounding lets some pixels fall to the id below."""
    label = np.full((40, 60), 13, np.uint8)
    flow = np.random.default_rng(0).normal(0, 3, (40, 60, 2)).astype(np.float32)
    warped = protocol_named("etc_released").warp(label, flow, None)
    assert set(np.unique(warped)) == {12, 13}
    assert 0 < (warped == 12).mean() < 0.1
    assert (protocol_named("corrected").warp(label, flow, None)[20, 30]) == 13


def test_etc_released_counts_absent_classes_as_zero():
    label = np.zeros((4, 4), np.uint8)
    counts = pair_counts(label, label, np.zeros((4, 4, 2), np.float32), None, 4, "etc_released")
    assert temporal_consistency(counts, "etc_released") == pytest.approx(0.25)
    assert temporal_consistency(counts, "corrected") == 1.0


def vspw_warp(label, flow):
    """The released script: positions over W - 1, nearest, ``align_corners=False``, zero padding."""
    height, width = label.shape
    position = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")).float()
    position = position + torch.from_numpy(flow).permute(2, 0, 1)
    grid = torch.stack([2.0 * position[0] / max(width - 1, 1) - 1, 2.0 * position[1] / max(height - 1, 1) - 1], -1)
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(label)[None, None].float(), grid[None], mode="nearest", align_corners=False
    )
    return sampled[0, 0].int().numpy()


@pytest.mark.parametrize("seed", range(12))
def test_vspw_released_is_grid_sample(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 90, 2))
    first, second = rng.integers(0, 124, (2, *shape)).astype(np.uint8)
    flow = rng.normal(0, 4, (*shape, 2)).astype(np.float32)
    if seed % 3 == 1:
        flow = np.rint(flow * 4) / 4
    if seed % 3 == 2:
        flow[:] = 0
    warped = vspw_warp(second, flow)
    np.testing.assert_array_equal(protocol_named("vspw_released").warp(second, flow, None), warped)
    counts = pair_counts(first, second, flow, None, 124, "vspw_released")
    assert_counts(counts, counts_of(list(zip(first.ravel(), warped.ravel(), strict=True)), 124))


def test_vspw_released_leaves_out_255():
    first = np.array([[1, 255, 2, 2], [1, 1, 2, 2]], np.uint8)
    counts = pair_counts(first, first, np.zeros((2, 4, 2), np.float32), None, 3, "vspw_released")
    warped = vspw_warp(first, np.zeros((2, 4, 2), np.float32))
    kept = [(a, b) for a, b in zip(first.ravel(), warped.ravel(), strict=True) if a < 3 and b < 3]
    assert_counts(counts, counts_of(kept, 3))


def test_vspw_zero_flow_is_not_the_identity():
    label = np.random.default_rng(0).integers(1, 5, (30, 50)).astype(np.uint8)
    counts = pair_counts(label, label, np.zeros((30, 50, 2), np.float32), None, 5, "vspw_released")
    assert counts.counted == label.size
    assert counts.same < counts.counted


@pytest.mark.parametrize("protocol", ["corrected", "occlusion_aware"])
def test_wrong_ids_and_missing_visibility_are_refused(protocol):
    label, flow, visible = np.zeros((3, 4), np.uint8), np.zeros((3, 4, 2), np.float32), np.ones((3, 4), bool)
    high = label + np.uint8(19)
    with pytest.raises(UserError, match="the prediction holds class id 19"):
        pair_counts(high, label, flow, visible, 19, protocol)
    with pytest.raises(UserError, match="the next prediction holds class id 19"):
        pair_counts(label, high, flow, visible, 19, protocol)
    with pytest.raises(UserError, match="needs visibility"):
        pair_counts(label, label, flow, None, 19, "occlusion_aware")
    with pytest.raises(UserError, match="visibility's size"):
        pair_counts(label, label, flow, visible.T, 19, "occlusion_aware")
    with pytest.raises(UserError, match="choose one of corrected, occlusion_aware"):
        protocol_named("tc")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_flow_that_is_not_finite_is_refused(protocol):
    label, flow, visible = np.zeros((3, 4), np.uint8), np.zeros((3, 4, 2), np.float32), np.ones((3, 4), bool)
    flow[1, 2, 0] = np.nan
    with pytest.raises(UserError, match="row 1, column 2"):
        pair_counts(label, label, flow, visible, 3, protocol)
