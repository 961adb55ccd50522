"""mIoU and VC over labelled frames."""

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.measure.truth import truth_counts


def frames(values):
    """Frames of two pixels, by number."""
    return {number: np.array([[one, 1]], np.uint8) for number, one in values.items()}.__getitem__


def test_sparse_labels_have_windows_on_their_own_step():
    """Labels on every second frame, one gap: runs of 4 and 3, so 3 + 2 windows of two labelled frames."""
    numbers = [0, 2, 4, 6, 10, 12, 14]
    truth = frames(dict.fromkeys(numbers, 0))
    prediction = frames({number: int(number == 4) for number in numbers})
    found = truth_counts(prediction, truth, numbers, 2, 2, lengths=(2, 8))
    np.testing.assert_array_equal(found.windows[2].stable, [2, 2, 2, 2, 2])
    np.testing.assert_array_equal(found.windows[2].right, [2, 1, 1, 2, 2])
    assert found.windows[8].stable.size == 0
    np.testing.assert_array_equal(found.confusion, [[6, 1], [0, 7]])
    assert found.frames == 7


def test_one_labelled_frame_counts_for_iou_only():
    found = truth_counts(frames({19: 0}), frames({19: 0}), [19], None, 2)
    np.testing.assert_array_equal(found.confusion, [[1, 0], [0, 1]])
    assert all(windows.stable.size == 0 for windows in found.windows.values())


def test_an_unanswered_pixel_names_its_frame():
    with pytest.raises(UserError, match="frame 3: the prediction has id 255 at 1 pixel "):
        truth_counts(frames({3: 255}), frames({3: 0}), [3], None, 2)
