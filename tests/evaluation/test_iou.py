"""IoU counts against pixel-by-pixel sets and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.core.errors import UserError
from etc.evaluation.iou import class_ratio, confusion_matrix, iou_counts, joint_histogram, mean_ratio, tp_fp_fn

CLASSES = 4
IDS = st.sampled_from([0, 1, 2, 3, 255])


@given(
    truth=hnp.arrays(np.uint8, (5, 7), elements=IDS),
    prediction=hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 3)),
)
def test_counts_match_sets_of_pixels(truth, prediction):
    confusion = confusion_matrix(prediction, truth, CLASSES)
    counts = iou_counts(*tp_fp_fn(confusion))
    valid = {(y, x) for y in range(5) for x in range(7) if truth[y, x] != 255}
    for c in range(CLASSES):
        is_class = {p for p in valid if truth[p] == c}
        said_class = {p for p in valid if prediction[p] == c}
        assert counts.intersection[c] == len(is_class & said_class)
        assert counts.union[c] == len(is_class | said_class)
        for other in range(CLASSES):
            assert confusion[c, other] == len({p for p in is_class if prediction[p] == other})
    assert counts.same == sum(truth[p] == prediction[p] for p in valid)
    assert counts.counted == len(valid)
    assert confusion.dtype == counts.union.dtype == np.int64


def test_absent_classes_are_left_out_of_the_mean():
    """Class 1 is predicted but not there: it counts as 0. Class 2 is in neither: it does not count."""
    truth = np.array([[0, 0, 0, 3]], np.uint8)
    prediction = np.array([[0, 0, 1, 3]], np.uint8)
    counts = iou_counts(*tp_fp_fn(confusion_matrix(prediction, truth, CLASSES)))
    np.testing.assert_array_equal(class_ratio(counts.intersection, counts.union), [2 / 3, 0, np.nan, 1])
    assert mean_ratio(counts.intersection, counts.union) == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_counts_of_frames_add_up_to_the_counts_of_the_video():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, CLASSES, (2, 6, 9, 8)).astype(np.uint8)
    single = sum(confusion_matrix(p, t, CLASSES) for p, t in zip(*frames, strict=True))
    whole = confusion_matrix(frames[0].reshape(54, 8), frames[1].reshape(54, 8), CLASSES)
    np.testing.assert_array_equal(single, whole)


def test_nothing_to_count_has_no_score():
    unlabelled = np.full((2, 2), 255, np.uint8)
    empty = iou_counts(*tp_fp_fn(confusion_matrix(np.zeros((2, 2), np.uint8), unlabelled, CLASSES)))
    assert empty.counted == 0
    assert np.isnan(mean_ratio(empty.intersection, empty.union))


def test_large_maps_are_counted_in_parts(monkeypatch):
    """Parts stay below the count at which float32 loses ones; where they are cut does not matter."""
    first, second = np.random.default_rng(0).integers(0, 256, (2, 37, 41)).astype(np.uint8)
    expected = np.zeros((256, 256), int)
    np.add.at(expected, (first, second), 1)
    for size in (1 << 24, 1, 100, 37 * 41):
        monkeypatch.setattr("etc.evaluation.iou._EXACT", size)
        np.testing.assert_array_equal(joint_histogram(first, second), expected)
        assert joint_histogram(first[::2, ::3], second[::2, ::3]).sum() == 19 * 14


def test_mean_ratio_works_on_stacks():
    intersection = np.array([[1, 2, 0], [0, 0, 0]])
    union = np.array([[2, 2, 0], [0, 0, 0]])
    np.testing.assert_array_equal(mean_ratio(intersection, union), [0.75, np.nan])


def test_open_predictions_are_an_error_unless_allowed():
    truth = np.array([[0, 1, 255]], np.uint8)
    prediction = np.array([[0, 255, 255]], np.uint8)
    with pytest.raises(UserError, match="255 at 1 pixel "):
        confusion_matrix(prediction, truth, CLASSES)
    assert confusion_matrix(prediction, truth, CLASSES, partial_prediction=True).sum() == 1


def test_wrong_input_is_refused():
    zeros = np.zeros((2, 3), np.uint8)
    with pytest.raises(UserError, match="prediction holds class id 7"):
        confusion_matrix(zeros + np.uint8(7), zeros, CLASSES)
    with pytest.raises(UserError, match="truth holds class id 4"):
        confusion_matrix(zeros, zeros + np.uint8(4), CLASSES)
    with pytest.raises(UserError, match=r"\(2, 3\) and uint8 \(3, 2\)"):
        joint_histogram(zeros, zeros.T)
    with pytest.raises(UserError, match="int64"):
        joint_histogram(zeros.astype(np.int64), zeros)
