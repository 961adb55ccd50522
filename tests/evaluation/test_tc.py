"""Properties of TC and its pooling, and TC of real labels. Closed forms are in ``test_closed_forms.py``."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.evaluation.iou import mean_ratio
from etc.evaluation.protocols import PROTOCOLS
from etc.evaluation.tc import class_consistency, pair_counts, pixel_agreement, pool, temporal_consistency
from etc.flow.methods import build
from tests.real_data import DATA

CAMVID = DATA / "camvid"
FAITHFUL = ["corrected", "occlusion_aware"]


def uniform(shape, dx, dy=0.0):
    return np.full((*shape, 2), (dx, dy), np.float32)


def score(first, second, flow, visible=None, classes=4, protocol="corrected"):
    return temporal_consistency(pair_counts(first, second, flow, visible, classes, protocol), protocol)


@pytest.mark.parametrize("protocol", FAITHFUL)
@given(label=hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 3])))
def test_identical_maps_at_zero_flow_score_one(protocol, label):
    visible = np.ones(label.shape, bool)
    counts = pair_counts(label, label, uniform(label.shape, 0), visible, 4, protocol)
    assert temporal_consistency(counts, protocol) == 1.0
    assert pixel_agreement(counts) == 1.0
    assert counts.counted == label.size


@pytest.mark.parametrize("protocol", FAITHFUL)
@given(flow=hnp.arrays(np.float32, (6, 7, 2), elements=st.floats(-3, 3, width=32)))
def test_a_constant_map_scores_one_under_any_flow(protocol, flow):
    label = np.full((6, 7), 2, np.uint8)
    counts = pair_counts(label, label, flow, np.ones((6, 7), bool), 4, protocol)
    if counts.counted:
        assert temporal_consistency(counts, protocol) == 1.0
    else:
        assert np.isnan(temporal_consistency(counts, protocol))


@given(
    first=hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 255])),
    second=hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 255])),
)
def test_at_zero_flow_the_order_of_the_frames_does_not_matter(first, second):
    there = pair_counts(first, second, uniform(first.shape, 0), None, 3)
    back = pair_counts(second, first, uniform(first.shape, 0), None, 3)
    np.testing.assert_array_equal(there.intersection, back.intersection)
    np.testing.assert_array_equal(there.union, back.union)


def test_ignored_pixels_are_not_counted():
    first = np.array([[0, 1, 255, 1]], np.uint8)
    second = np.array([[0, 255, 1, 0]], np.uint8)
    counts = pair_counts(first, second, uniform((1, 4), 0), None, 2)
    assert (counts.same, counts.counted) == (1, 2)
    np.testing.assert_array_equal(counts.union, [2, 1])


def test_pooling_adds_before_it_divides():
    """Two pairs of one class: 1 of 1 and 0 of 9 pool to 1/10, not to the mean of 1 and 0."""
    one = pair_counts(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), uniform((1, 1), 0), None, 3)
    nine = pair_counts(np.zeros((3, 3), np.uint8), np.ones((3, 3), np.uint8), uniform((3, 3), 0), None, 3)
    counts = pool([one, nine])
    np.testing.assert_array_equal(class_consistency(counts), [0.1, 0, np.nan])
    assert temporal_consistency(counts) == pytest.approx(0.05)
    assert pixel_agreement(counts) == pytest.approx(0.1)
    assert counts.counted == 10


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pooled_means_work_on_stacks(protocol):
    """The bootstrap scores many resamples at once: the same as one by one."""
    rng = np.random.default_rng(0)
    union = rng.integers(1, 50, (6, 4))
    intersection = rng.integers(0, union + 1)
    counts = (intersection, union, union) if protocol == "vspw_released" else (intersection, union)
    mean = PROTOCOLS[protocol].mean
    np.testing.assert_allclose(mean(*counts), [mean(*rows) for rows in zip(*counts, strict=True)])
    np.testing.assert_allclose(mean(*counts), mean_ratio(intersection, union), rtol=1e-8)


@pytest.mark.skipif(not (CAMVID / "valannot").is_dir(), reason="CamVid is not here")
def test_real_labels_of_camvid():
    """Ground truth as predictions, 0016E5 at 15 Hz: right flow about 0.89, zero flow 0.74, sign turned 0.66."""
    names = sorted(path.name for path in (CAMVID / "val").glob("0016E5_*.png"))[:60:5]
    following = sorted(path.name for path in (CAMVID / "val").glob("0016E5_*.png"))[1:60:5]
    dis = build("dis", preset="medium")
    counts = {"right": [], "zero": [], "turned": []}
    for name, following_name in zip(names, following, strict=True):
        frames = [cv2.imread(str(CAMVID / "val" / n))[..., ::-1].copy() for n in (name, following_name)]
        labels = [cv2.imread(str(CAMVID / "valannot" / n), cv2.IMREAD_UNCHANGED) for n in (name, following_name)]
        # Void (11) is not a class.
        labels = [np.where(label == 11, 255, label).astype(np.uint8) for label in labels]
        flow = dis(*frames)
        for case, used in (("right", flow), ("zero", 0 * flow), ("turned", -flow)):
            counts[case].append(pair_counts(*labels, used, None, 11))
    tc = {case: temporal_consistency(pool(pairs)) for case, pairs in counts.items()}
    assert tc["right"] == pytest.approx(0.89, abs=0.03)
    assert tc["zero"] == pytest.approx(0.74, abs=0.05)
    assert tc["turned"] == pytest.approx(0.66, abs=0.05)
    assert tc["turned"] < tc["zero"] < tc["right"]
