"""What is said about figures that cannot be right."""

import re

import cv2
import numpy as np
import pytest

from etc.dataset.label_sets import CITYSCAPES
from etc.measure.doubts import flow_doubts, label_id_doubts, truth_doubts, warp_correlation


def scene(shape=(80, 200)):
    picture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (*shape, 3)).astype(np.float32), (0, 0), 1.5)
    return cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def uniform(dx, shape=(80, 160)):
    return np.full((*shape, 2), (dx, 0), np.float32)


def test_flow_that_follows_shows_the_frame_before():
    """Also in another light and with noise; not with the sign turned, at zero flow, or when all has changed."""
    wide = scene()
    frame, after = wide[:, 10:170], np.ascontiguousarray(wide[:, 5:165])
    assert warp_correlation(frame, after, uniform(5)) == pytest.approx(1, abs=0.01)
    noisy = after * 0.7 + 20 + np.random.default_rng(1).normal(0, 5, after.shape)
    assert warp_correlation(frame, noisy.clip(0, 255).astype(np.uint8), uniform(5)) > 0.9
    for other, flow in ((after, -5), (after, 0), (np.ascontiguousarray(scene()[::-1, :160]), 5)):
        assert abs(warp_correlation(frame, other, uniform(flow))) < 0.4


def test_frames_without_texture_say_nothing():
    grey = np.full((80, 160, 3), 90, np.uint8)
    assert np.isnan(warp_correlation(grey, grey, uniform(0)))
    assert np.isnan(warp_correlation(scene()[:, :160], scene()[:, :160], uniform(1000)))


def test_clips_whose_flow_does_not_follow_are_named():
    assert flow_doubts({"a": 0.95, "b": 0.81}, [1]) == []
    assert flow_doubts({}, []) == []
    (line,) = flow_doubts({"a": 0.95, "b": 0.79, "c": 0.61}, [30, 1, 30])
    assert "of 2 of 3 clips (b, c), frame step 1, 30: warped frames correlate 0.61 to 0.79" in line


def confusion(truth, prediction, classes=5):
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (truth, prediction), 10)
    return found


@pytest.mark.parametrize(
    ("truth", "prediction", "classes", "words"),
    [
        (
            [1, 2, 3, 1],
            [0, 1, 2, 1],
            5,
            "75% of the labelled pixels hold the predicted class plus 1: .*--label-offset 1",
        ),
        ([0, 1, 2, 3], [1, 2, 3, 4], 5, "100% of the labelled pixels hold the predicted class minus 1"),
        ([0, 1, 2], [7, 8, 11], 19, "100% .* hold the train id of a predicted Cityscapes label id"),
        ([7, 8, 11], [0, 1, 2], 19, "100% .* hold the Cityscapes label id of a predicted train id: name such labels"),
        ([0, 1, 2, 3, 4], [3, 0, 4, 1, 2], 5, "mIoU is 0.00%, as if ids meant other classes"),
        ([0, 0, 0, 0, 1], [0, 0, 0, 3, 4], 5, "no label holds class 3, 4, predicted for 40.00%"),
    ],
)
def test_labels_that_do_not_fit_are_doubted(truth, prediction, classes, words):
    (line,) = truth_doubts(confusion(truth, prediction, classes), "labels")
    assert line.startswith("labels: ") and re.search(words, line)


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [([0, 1, 2, 3], [0, 1, 2, 3]), ([0, 1, 2, 3], [0, 0, 0, 0]), ([0, 0, 0, 1], [0, 0, 1, 0])],
)
def test_plain_errors_are_no_reason_for_doubt(truth, prediction):
    assert truth_doubts(confusion(truth, prediction), "labels") == []


def test_labels_without_a_labelled_pixel_say_nothing():
    assert truth_doubts(np.zeros((5, 5), np.int64), "labels") == []


def test_label_ids_below_19_are_recognised_by_what_they_are():
    (line,) = label_id_doubts([7, 8, 11], "predictions")
    assert "7 = road, 8 = sidewalk, 11 = building" in line
    for present in ([0, 1, 2], [0, 7, 8], [7], [], range(19), [ids[0] for ids in CITYSCAPES.sources[:3]] + [1]):
        assert label_id_doubts(present, "predictions") == []
