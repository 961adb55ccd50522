"""Flow estimated from the frames of a clip."""

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.estimated import EstimatedFlow
from etc.flow.methods import build


@pytest.fixture
def frames():
    """A smooth picture that moves 3 pixels to the right a frame."""
    scene = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 120, 3)).astype(np.float32), (0, 0), 2)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return [np.ascontiguousarray(scene[:, 20 - 3 * t : 100 - 3 * t]) for t in range(4)]


def test_estimated_flow_leads_to_the_next_frame(frames):
    reader = EstimatedFlow(frames.__getitem__, build("dis", preset="medium"), "dis")
    flow, visible = reader.read(0, 1)
    assert visible is None
    assert reader.describe(0, 1) == "dis flow of frame 0"
    assert np.median(flow[..., 0]) == pytest.approx(3, abs=0.3) and np.median(flow[..., 1]) == pytest.approx(0, abs=0.3)


def test_every_frame_is_loaded_once_whatever_the_direction(frames):
    asked = []

    def frame(number):
        asked.append(number)
        return frames[number]

    reader = EstimatedFlow(frame, lambda first, second: np.stack([first[..., 0], second[..., 0]], 2).astype(np.float32))
    for number in range(3):
        for source, target in ((number, number + 1), (number + 1, number)):
            flow, _ = reader.read(source, target)
            np.testing.assert_array_equal(flow[..., 0], frames[source][..., 0])
            np.testing.assert_array_equal(flow[..., 1], frames[target][..., 0])
    assert asked == [0, 1, 2, 3]


def test_frames_of_different_sizes(frames):
    frames[1] = frames[1][:50]
    with pytest.raises(UserError, match="frame 1: 80x50 pixels, but frame 0 of the same clip has 80x60"):
        EstimatedFlow(frames.__getitem__, build("dis")).read(0, 1)
