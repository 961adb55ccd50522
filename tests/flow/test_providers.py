"""Flow for the evaluation: from shards, from flow files, and estimated from frames."""

import pickle

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.estimated import EstimatedFlow
from etc.flow.exchange import pack
from etc.flow.files import FlowFiles, ShardFlow
from etc.flow.io import write_flo, write_kitti_png
from etc.flow.methods import build
from etc.flow.providers import StoredFlow
from etc.flow.store import FlowWriter

SIZE = (12, 16)


def uniform(dx, dy=0.0, size=SIZE):
    return np.full((*size, 2), (dx, dy), np.float32)


def test_shards_are_opened_when_asked_and_travel_between_processes(tmp_path):
    provider = StoredFlow(tmp_path / "a.arrow")
    visible = np.zeros(SIZE, bool)
    with FlowWriter(tmp_path / "a.arrow", "0" * 32, SIZE) as writer:
        writer.write(3, 5, uniform(2), visible)
    for one in (provider, pickle.loads(pickle.dumps(provider)), pickle.loads(pickle.dumps(provider))):
        flow, seen = one.read(3, 5)
        np.testing.assert_array_equal(flow, uniform(2))
        np.testing.assert_array_equal(seen, visible)
    assert provider.describe(3, 5) == str(tmp_path / "a.arrow")
    with pytest.raises(UserError, match="b.arrow: no such flow file"):
        StoredFlow(tmp_path / "b.arrow").read(3, 5)


def test_flow_files_of_both_formats(tmp_path):
    write_flo(tmp_path / "0.flo", uniform(1.5))
    valid = np.ones(SIZE, bool)
    valid[0] = False
    write_kitti_png(tmp_path / "1.png", uniform(-2), valid)
    provider = FlowFiles({(0, 1): tmp_path / "0.flo", (1, 2): tmp_path / "1.png"}, tmp_path)
    flow, visible = provider.read(0, 1)
    np.testing.assert_array_equal(flow, uniform(1.5))
    assert visible is None
    # A pixel without a vector leads out of any frame.
    flow, _ = provider.read(1, 2)
    assert (flow[0] > 1e5).all() and (flow[1:] == (-2, 0)).all()
    with pytest.raises(UserError, match="1.png: 16 pixels have no valid vector, and this protocol counts every pixel"):
        FlowFiles({(1, 2): tmp_path / "1.png"}, tmp_path, dense=True).read(1, 2)


def test_visibility_from_backward_files(tmp_path):
    """Forward 3 right, backward 3 left but for one row that says nothing moved: that row and the border are hidden."""
    write_flo(tmp_path / "f.flo", uniform(3))
    backward = uniform(-3)
    backward[4] = 0
    write_flo(tmp_path / "b.flo", backward)
    files = {(0, 1): tmp_path / "f.flo", (1, 0): tmp_path / "b.flo"}
    _, visible = FlowFiles(files, tmp_path, visibility=True).read(0, 1)
    expected = np.ones(SIZE, bool)
    expected[4] = False
    expected[:, 13:] = False
    np.testing.assert_array_equal(visible, expected)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "0.flo: truncated"),
        (lambda path: path.write_bytes(b"nothing"), "0.flo: not a .flo file"),
        (lambda path: path.unlink(), "0.flo: no such flow file"),
        (lambda path: write_flo(path, uniform(1e10)), "0.flo: 192 vectors are longer than the 16x12 frame's diagonal"),
        (lambda path: write_flo(path, uniform(-25)), "0.flo: 192 vectors are longer"),
    ],
)
def test_damaged_and_impossible_files_are_named(tmp_path, damage, message):
    path = tmp_path / "0.flo"
    write_flo(path, uniform(1))
    damage(path)
    with pytest.raises(UserError, match=message):
        FlowFiles({(0, 1): path}, tmp_path).read(0, 1)


def test_values_that_are_not_finite_are_named(tmp_path):
    path = tmp_path / "0.flo"
    write_flo(path, uniform(1))
    content = np.frombuffer(path.read_bytes(), "<f4").copy()
    content[10] = np.nan
    path.write_bytes(content.tobytes())
    with pytest.raises(UserError, match="0.flo: the flow at row 0, column 3"):
        FlowFiles({(0, 1): path}, tmp_path).read(0, 1)


def test_imported_flow_is_visible_where_the_way_back_says_so(tmp_path):
    """As in ``test_visibility_from_backward_files``; the mask of a packed file is what is known."""
    backward, valid = uniform(-3), np.ones(SIZE, bool)
    backward[4] = 0
    valid[7] = False
    write_kitti_png(tmp_path / "a/0_1.png", uniform(3), valid)
    write_kitti_png(tmp_path / "a/1_0.png", backward)
    pack(tmp_path / "a", tmp_path / "a.arrow")
    shard = pickle.loads(pickle.dumps(ShardFlow(tmp_path / "a.arrow", visibility=True)))
    flow, visible = shard.read(0, 1)
    expected = np.ones(SIZE, bool)
    expected[[4, 7]] = False
    expected[:, 13:] = False
    np.testing.assert_array_equal(visible, expected)
    assert (flow[7] > 1e5).all()
    assert shard.describe(0, 1) == str(tmp_path / "a.arrow")


def test_flow_of_the_stage_is_taken_as_it_is(tmp_path):
    """Exact flow may lead far out of the frame; its mask is what is visible."""
    visible = np.ones(SIZE, bool)
    visible[3] = False
    with FlowWriter(tmp_path / "a.arrow", "0" * 32, SIZE, 1 / 64, "exact") as writer:
        writer.write(0, 1, uniform(100), visible)
    flow, seen = ShardFlow(tmp_path / "a.arrow", visibility=True, dense=True).read(0, 1)
    np.testing.assert_array_equal(flow, uniform(100))
    np.testing.assert_array_equal(seen, visible)


def test_missing_and_differently_sized_files(tmp_path):
    write_flo(tmp_path / "0.flo", uniform(1))
    write_flo(tmp_path / "1.flo", uniform(1, size=(5, 5)))
    with pytest.raises(UserError, match="no flow from frame 7 to 8"):
        FlowFiles({(0, 1): tmp_path / "0.flo"}, tmp_path).read(7, 8)
    with pytest.raises(UserError, match="no flow from frame 1 to 0"):
        FlowFiles({(0, 1): tmp_path / "0.flo"}, tmp_path, visibility=True).read(0, 1)
    files = {(0, 1): tmp_path / "0.flo", (1, 0): tmp_path / "1.flo"}
    with pytest.raises(UserError, match="1.flo: 5x5 pixels, the flow the other way has 16x12"):
        FlowFiles(files, tmp_path, visibility=True).read(0, 1)


@pytest.fixture
def frames():
    """A smooth picture that moves 3 pixels to the right a frame."""
    scene = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 120, 3)).astype(np.float32), (0, 0), 2)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return [np.ascontiguousarray(scene[:, 20 - 3 * t : 100 - 3 * t]) for t in range(4)]


def test_estimated_flow_leads_to_the_next_frame(frames):
    flow, visible = EstimatedFlow(frames.__getitem__, build("dis", preset="medium")).read(0, 1)
    assert visible is None
    assert np.median(flow[..., 0]) == pytest.approx(3, abs=0.3) and np.median(flow[..., 1]) == pytest.approx(0, abs=0.3)


def test_estimated_visibility_loads_every_frame_once(frames):
    asked = []

    def frame(number):
        asked.append(number)
        return frames[number]

    def estimate(first, second):
        """Knows the way: 3 to the right if second follows first, else back."""
        ahead = any(first is one and second is after for one, after in zip(frames, frames[1:], strict=False))
        return uniform(3 if ahead else -3, size=first.shape[:2])

    provider = EstimatedFlow(frame, estimate, visibility=True)
    expected = np.ones((60, 80), bool)
    expected[:, 77:] = False
    for number in range(3):
        flow, visible = provider.read(number, number + 1)
        assert (flow == (3, 0)).all()
        np.testing.assert_array_equal(visible, expected)
    assert asked == [0, 1, 2, 3]


def test_frames_of_different_sizes(frames):
    frames[1] = frames[1][:50]
    with pytest.raises(UserError, match="frame 1: 80x50 pixels, but frame 0 of the same clip has 80x60"):
        EstimatedFlow(frames.__getitem__, build("dis")).read(0, 1)
