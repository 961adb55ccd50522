import numpy as np
import pytest

from etc.sources.street.disturb import disturb, to_bytes
from etc.sources.street.params import Disturbance

OFF = {"noise": 0, "flicker": 0, "blur": 0, "tint": 0}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0.2, 0.6, (40, 24, 32, 3)).astype(np.float32)


def _run(images, seed=1, **strengths):
    return disturb(images, Disturbance(**(OFF | strengths)), np.random.SeedSequence(seed))


def test_zero_strength_changes_nothing(images):
    np.testing.assert_array_equal(_run(images), images)


def test_equal_seeds_agree_and_others_differ(images):
    np.testing.assert_array_equal(_run(images, noise=0.05, blur=0.7), _run(images, noise=0.05, blur=0.7))
    assert not np.array_equal(_run(images, 1, noise=0.05), _run(images, 2, noise=0.05))


def test_noise_has_the_stated_deviation_and_is_new_in_each_frame(images):
    added = _run(images, noise=0.05) - images
    assert added.std() == pytest.approx(0.05, rel=0.02)
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.06


def test_flicker_is_one_gain_a_frame_of_the_stated_deviation(images):
    gain = _run(images, flicker=0.1) / images
    assert np.ptp(gain, axis=(1, 2, 3)).max() < 1e-5
    log = np.log(gain.mean(axis=(1, 2, 3)))
    # The deviation of 40 draws is within 35 % of the true one far beyond 99 % of the time.
    assert log.std() == pytest.approx(0.1, rel=0.35)
    assert abs(log.mean()) < 3 * 0.1 / np.sqrt(len(images))
    assert len(np.unique(log)) == len(images)


def test_tint_differs_between_channels_and_not_inside_one(images):
    gain = _run(images, tint=0.05) / images
    assert np.ptp(gain, axis=(1, 2)).max() < 1e-5
    log = np.log(gain.mean(axis=(1, 2)))
    assert np.ptp(log, axis=1).min() > 0
    assert log.std() == pytest.approx(0.05, rel=0.25)
    assert abs(log.mean()) < 3 * 0.05 / np.sqrt(log.size)


def test_blur_lowers_the_contrast_and_keeps_the_mean(images):
    blurred = _run(images, blur=1.5)
    assert (blurred.std(axis=(1, 2, 3)) < images.std(axis=(1, 2, 3))).mean() > 0.8
    np.testing.assert_allclose(blurred.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), rtol=0.02)


def test_one_strength_can_change_while_the_others_act_as_before(images):
    alone = _run(images, flicker=0.1)
    quiet = _run(images, flicker=0.1, noise=1e-6)
    np.testing.assert_allclose(alone, quiet, atol=2e-5)


def test_output_stays_in_range_and_rounds_to_bytes(images):
    strong = _run(images, noise=0.5, flicker=1)
    assert strong.dtype == np.float32 and strong.min() >= 0 and strong.max() <= 1
    np.testing.assert_array_equal(to_bytes(np.float32([0, 0.5, 1])), np.uint8([0, 128, 255]))
