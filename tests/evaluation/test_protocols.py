"""Each TC protocol against its definition (``definitions.py``) and against counts that are frozen in a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.core.errors import UserError
from etc.evaluation import protocols
from etc.evaluation.protocols import PROTOCOLS, protocol_named
from etc.evaluation.tc import pair_counts, temporal_consistency
from tests.evaluation import definitions

GOLDEN = Path(__file__).with_name("golden_tc.json")
CLASSES = 5
SHAPE = (6, 9)
LABELS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 4, 255]))
FLOWS = hnp.arrays(np.float32, (*SHAPE, 2), elements=st.floats(-12, 12, width=32)) | hnp.arrays(
    np.int8, (*SHAPE, 2), elements=st.integers(-12, 12)
).map(lambda steps: steps.astype(np.float32) / 4)


def assert_counts(counts, expected):
    np.testing.assert_array_equal(counts.intersection, expected[0])
    np.testing.assert_array_equal(counts.union, expected[1])
    assert (counts.same, counts.counted) == tuple(expected[2:])
    assert counts.intersection.dtype == counts.union.dtype == np.int64


@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(first=LABELS, second=LABELS, flow=FLOWS, visible=hnp.arrays(bool, SHAPE))
def test_counts_follow_the_definition(protocol, first, second, flow, visible):
    counts = pair_counts(first, second, flow, visible, CLASSES, protocol)
    assert_counts(counts, definitions.counts(protocol, first, second, flow, visible, CLASSES))


def golden_pair(height, width, classes):
    """Blocks and scattered pixels of ids (some 255), a flow in all fractions, a visibility; integer arithmetic only."""
    state = 2020

    def draw(limit):
        nonlocal state
        state = (1103515245 * state + 12345) % 2**31
        return (state >> 8) % limit

    def label():
        ids = np.array([[draw(classes) for _ in range(width // 4)] for _ in range(height // 4)], np.uint8)
        ids = np.kron(ids, np.ones((4, 4), np.uint8))
        for _ in range(height * width // 20):
            ids[draw(height), draw(width)] = 255 if draw(4) == 0 else draw(classes)
        return ids

    first, second = label(), label()
    second[height // 2 :] = first[height // 2 :]
    flow = np.array([draw(1 << 16) - (1 << 15) for _ in range(2 * height * width)], np.float32) / np.float32(10007)
    visible = np.array([draw(5) > 0 for _ in range(height * width)])
    return first, second, flow.reshape(height, width, 2), visible.reshape(height, width)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_counts_are_frozen(protocol):
    """The counts in the file were computed by ``definitions.py``. Both it and the code must give them for ever."""
    golden = json.loads(GOLDEN.read_text())
    pair, classes = golden_pair(*golden["shape"], golden["classes"]), golden["classes"]
    expected = golden["protocols"][protocol]
    counts = pair_counts(*pair, classes, protocol)
    assert_counts(counts, expected["counts"])
    assert_counts(counts, definitions.counts(protocol, *pair, classes))
    assert temporal_consistency(counts, protocol) == pytest.approx(expected["tc"], abs=1e-12)


def plain_resample2d(label, flow):
    """The kernel in whole-array NumPy, without the blocks and the joint look-up of the code: for large maps."""
    height, width = label.shape
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    left, top = np.floor(x), np.floor(y)
    a, b = (x - left).astype(np.float64), (y - top).astype(np.float64)
    columns = [np.clip(edge, 0, width - 1).astype(int) for edge in (left, left + np.float32(1))]
    rows = [np.clip(edge, 0, height - 1).astype(int) for edge in (top, top + np.float32(1))]
    value = ((1 - a) * (1 - b) * label[rows[0], columns[0]]).astype(np.float32)
    value += (a * (1 - b) * label[rows[0], columns[1]]).astype(np.float32)
    value += ((1 - a) * b * label[rows[1], columns[0]]).astype(np.float32)
    return ((x - left) * (y - top) * label[rows[1], columns[1]].astype(np.float64) + value).astype(np.float32)


def any_flow(rng, shape, spread):
    return rng.normal(0, spread, (*shape, 2)).astype(np.float32)


def in_steps(step):
    return lambda rng, shape, spread: (np.rint(any_flow(rng, shape, spread) / step) * step).astype(np.float32)


def near_whole(rng, shape, spread):
    """Fractions a few 2^-20 above and below whole pixels."""
    return np.rint(any_flow(rng, shape, spread)) + (rng.integers(-3, 4, (*shape, 2)) * 2**-20).astype(np.float32)


def in_steps_across_only(rng, shape, spread):
    flow = any_flow(rng, shape, spread)
    flow[..., 0] = np.rint(flow[..., 0] * 16) / 16
    return flow


def in_steps_but_for_some_rows(rng, shape, spread):
    flow = in_steps(1 / 16)(rng, shape, spread)
    flow[40:47] = any_flow(rng, (7, shape[1]), spread)
    return flow


@pytest.mark.parametrize("spread", [0.3, 20.0, 1e9], ids=["slow", "fast", "far outside"])
@pytest.mark.parametrize(
    "make",
    [
        any_flow,
        in_steps(1 / 16),
        in_steps(1 / 256),
        in_steps(2**-12),
        near_whole,
        in_steps_across_only,
        in_steps_but_for_some_rows,
    ],
    ids=["any", "1/16", "1/256", "2^-12", "near whole", "across only", "but for some rows"],
)
def test_etc_released_on_large_maps(make, spread):
    """Blocks of rows meet, ids up to 255 occur, with and without fractions so fine that sums are rounded."""
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 256, (21, 30)), np.ones((8, 8))).astype(np.uint8)[: 8 * 21 - 3]
    label[rng.random(label.shape) < 0.1] = 7
    flow = make(rng, label.shape, spread)
    warped = protocol_named("etc_released").warp(label, flow, None)
    np.testing.assert_array_equal(warped, plain_resample2d(label, flow).astype(np.uint8))


def test_etc_released_is_the_kernel_to_the_last_bit():
    """Many pixels of equal neighbours: each step's rounding decides which of them fall to the id below."""
    label = np.repeat(np.arange(1, 19, dtype=np.uint8), 8)[:, None].repeat(60, axis=1)
    flow = np.random.default_rng(0).uniform(-3, 3, (*label.shape, 2)).astype(np.float32)
    warped = protocol_named("etc_released").warp(label, flow, None)
    np.testing.assert_array_equal(warped, definitions.resample2d(label, flow))


def test_etc_released_loses_ids_to_truncation():
    """Even in a map of one single id, rounding lets some pixels fall to the id below."""
    label = np.full((40, 60), 13, np.uint8)
    flow = np.random.default_rng(0).normal(0, 3, (40, 60, 2)).astype(np.float32)
    warped = protocol_named("etc_released").warp(label, flow, None)
    assert set(np.unique(warped)) == {12, 13}
    assert 0 < (warped == 12).mean() < 0.1
    assert (protocol_named("corrected").warp(label, flow, None)[20, 30]) == 13


def test_etc_released_closes_the_last_bin():
    """Id C (here 4 of 4 classes) is counted as class C - 1, as np.histogram does."""
    label = np.array([[0, 3, 4, 5]], np.uint8)
    counts = pair_counts(label, label, np.zeros((1, 4, 2), np.float32), None, 4, "etc_released")
    np.testing.assert_array_equal(counts.intersection, [1, 0, 0, 2])
    assert_counts(counts, definitions.pooled_by_histogram(label, label, 4))


def test_etc_released_divides_as_the_script():
    assert PROTOCOLS["etc_released"].mean(np.array([1, 0]), np.array([1, 0])) == 1 / (1 + 1e-10) / 2


@pytest.mark.parametrize("seed", range(12))
def test_vspw_released_is_grid_sample(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 90, 2))
    second = rng.integers(0, 124, shape).astype(np.uint8)
    flow = rng.normal(0, 4, (*shape, 2)).astype(np.float32)
    if seed % 3 == 1:
        flow = np.rint(flow * 4) / 4
    if seed % 3 == 2:
        flow *= 1e8
    np.testing.assert_array_equal(
        protocol_named("vspw_released").warp(second, flow, None), definitions.grid_sample(second, flow)
    )


@pytest.mark.parametrize("protocol", ["etc_released", "vspw_released"])
def test_blocks_of_rows_do_not_change_the_warp(protocol, monkeypatch):
    rng = np.random.default_rng(3)
    label, flow = rng.integers(0, 19, (37, 20)).astype(np.uint8), rng.normal(0, 5, (37, 20, 2)).astype(np.float32)
    whole = protocol_named(protocol).warp(label, flow, None)
    for rows in (1, 5, 37, 100):
        monkeypatch.setattr(protocols, "_BLOCK", rows)
        np.testing.assert_array_equal(protocol_named(protocol).warp(label, flow, None), whole)


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
def test_a_wrong_flow_is_refused(protocol):
    label, flow, visible = np.zeros((3, 4), np.uint8), np.zeros((3, 4, 2), np.float32), np.ones((3, 4), bool)
    flow[1, 2, 0] = np.nan
    with pytest.raises(UserError, match="row 1, column 2"):
        pair_counts(label, label, flow, visible, 3, protocol)
    with pytest.raises(UserError, match=r"flow's size \(4, 3\) differs from the frame's size \(3, 4\)"):
        pair_counts(label, label, np.zeros((4, 3, 2), np.float32), visible, 3, protocol)
