"""VC_n against sets of pixels, window by window, and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.core.errors import UserError
from etc.measure.vc import (
    WindowCounter,
    WindowCounts,
    mean_video_consistency,
    released_video_consistency,
    video_consistency,
)


def window_counts(predictions, truths, length):
    counter = WindowCounter([length])
    for prediction, truth in zip(predictions, truths, strict=True):
        counter.add(prediction, truth)
    return counter.counts(length)


def counted(right, stable):
    right, stable = np.array(right, np.int64), np.array(stable, np.int64)
    return WindowCounts(right, stable, right[:-1], stable[:-1])


VIDEO = hnp.arrays(np.uint8, (7, 3, 4), elements=st.sampled_from([0, 0, 0, 1, 255]))


@given(predictions=VIDEO, truths=VIDEO, length=st.integers(2, 8))
def test_windows_match_the_definition(predictions, truths, length):
    right, stable = [], []
    for start in range(7 - length + 1):
        window = slice(start, start + length)
        unchanged = (truths[window] == truths[start]).all(axis=0) & (truths[start] != 255)
        always_right = (predictions[window] == truths[window]).all(axis=0)
        stable.append((unchanged).sum())
        right.append((unchanged & always_right).sum())
    counts = window_counts(predictions, truths, length)
    np.testing.assert_array_equal(counts.right, right)
    np.testing.assert_array_equal(counts.stable, stable)


@given(videos=st.lists(st.tuples(VIDEO, VIDEO, st.integers(1, 7)), max_size=3), length=st.integers(2, 8))
def test_the_released_figure_is_that_of_its_script(videos, length):
    """``VC_perclip.py``, written down again from its description: every window but a video's last, right or wrong."""
    shares = []
    for predictions, truths, frames in videos:
        for start in range(frames - length):
            window = slice(start, start + length)
            held = (truths[window] == truths[start]).all(axis=0)
            kept = (predictions[window] == predictions[start]).all(axis=0)
            if held.any():
                shares.append((held & kept).sum() / held.sum())
    counts = [window_counts(predictions[:n], truths[:n], length) for predictions, truths, n in videos]
    np.testing.assert_allclose(released_video_consistency(counts), np.mean(shares) if shares else np.nan, rtol=1e-12)


def test_a_perfect_prediction_scores_one_however_the_truth_moves():
    truths = np.random.default_rng(0).integers(0, 3, (12, 10, 10)).astype(np.uint8)
    truths[:, :5] = 1
    counts = window_counts(truths, truths, 8)
    assert len(counts.right) == 5
    assert (counts.stable >= 50).all()
    assert video_consistency(counts) == 1.0


def test_one_wrong_frame_spoils_every_window_that_holds_it():
    """12 frames, frame 5 wrong on half of the pixels: of the windows of 3, those from 3, 4 and 5 drop to 0.5."""
    truths = np.zeros((12, 4, 4), np.uint8)
    predictions = truths.copy()
    predictions[5, :2] = 1
    values = window_counts(predictions, truths, 3)
    np.testing.assert_array_equal(values.right / values.stable, [1, 1, 1, 0.5, 0.5, 0.5, 1, 1, 1, 1])
    assert video_consistency(values) == pytest.approx(0.85)


def test_a_constant_wrong_prediction_scores_zero():
    """Consistency with itself is not enough: it has to be right."""
    truths = np.zeros((8, 4, 4), np.uint8)
    assert video_consistency(window_counts(truths + np.uint8(1), truths, 8)) == 0.0


def test_windows_then_videos_are_averaged():
    long = counted([1, 1, 1, 1], [1, 1, 1, 1])
    short = counted([0], [5])
    empty = counted([], [])
    assert mean_video_consistency([long, short, empty]) == 0.5
    assert np.isnan(mean_video_consistency([empty]))


def test_windows_without_a_stable_pixel_are_left_out():
    assert video_consistency(counted([0, 3], [0, 4])) == 0.75


def test_a_short_video_has_no_window():
    frames = np.zeros((7, 2, 2), np.uint8)
    counts = window_counts(frames, frames, 8)
    assert counts.right.size == counts.stable.size == 0


def test_wrong_input_is_refused():
    frames = np.zeros((4, 2, 2), np.uint8)
    with pytest.raises(UserError, match="at least 2"):
        window_counts(frames, frames, 1)
    with pytest.raises(UserError, match="frame 1"):
        window_counts([frames[0], np.zeros((1, 2), np.uint8)], [frames[0], np.zeros((1, 2), np.uint8)], 2)
