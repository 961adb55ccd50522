"""Thresholds and filtering, against counts made one pixel at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etc.pseudo_labels import confidence_histogram, keep_confident, quantise, thresholds

CLASSES = 3


def random_case(seed):
    generator = np.random.default_rng(seed)
    prediction = generator.integers(0, CLASSES, (20, 30)).astype(np.uint8)
    return prediction, generator.integers(0, 256, (20, 30)).astype(np.uint8)


def test_histogram_counts_each_pixel_once():
    prediction, level = random_case(0)
    histogram = confidence_histogram(prediction, level, CLASSES)
    expected = np.zeros((CLASSES, 256), int)
    for one, sure in zip(prediction.ravel(), level.ravel(), strict=True):
        expected[one, sure] += 1
    assert (histogram == expected).all()


@given(seed=st.integers(0, 1000), share=st.floats(0.01, 1.0))
def test_each_class_keeps_at_least_its_share_and_no_needless_level(seed, share):
    prediction, level = random_case(seed)
    threshold = thresholds(confidence_histogram(prediction, level, CLASSES), share, 0.0)
    label = keep_confident(prediction, level, threshold)
    for one in range(CLASSES):
        of_class = prediction == one
        kept = (label == one).sum()
        assert kept >= share * of_class.sum() - 1e-9
        # One level more would keep too few.
        assert (of_class & (level > threshold[one])).sum() < np.ceil(share * of_class.sum())
    assert set(np.unique(label[label != prediction])) <= {255}


def test_min_confidence_holds_for_every_class():
    prediction, level = random_case(1)
    threshold = thresholds(confidence_histogram(prediction, level, CLASSES), 1.0, 0.5)
    label = keep_confident(prediction, level, threshold)
    assert (level[label != 255] / 255 >= 0.5).all()
    assert (label[level / 255 >= 0.5] != 255).all()


def test_a_class_that_is_never_predicted_has_no_say():
    prediction = np.zeros((4, 4), np.uint8)
    level = np.full((4, 4), 200, np.uint8)
    threshold = thresholds(confidence_histogram(prediction, level, CLASSES), 0.5, 0.0)
    assert (keep_confident(prediction, level, threshold) == 0).all()


def test_quantising_never_overstates():
    confidence = np.linspace(0, 1, 1001)
    assert (quantise(confidence) / 255.0 <= confidence + 1e-12).all()
    assert quantise(np.array([1.0]))[0] == 255
