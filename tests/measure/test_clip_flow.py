"""The flow that ``etc tc`` judges with: what is visible, holes, and one computation for several runs."""

import pickle
from functools import partial

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.evaluation.consistency import Clip, ClipJudge
from etc.flow.estimated import EstimatedFlow
from etc.flow.files import FlowFiles
from etc.flow.io import write_flo, write_kitti_png
from etc.flow.store import FlowWriter, StoredFlow
from etc.flow.warp import inside_frame
from etc.flow_exchange import pack
from etc.measure.clip_flow import ClipFlow

SIZE = (12, 16)


def uniform(dx, dy=0.0, size=SIZE):
    return np.full((*size, 2), (dx, dy), np.float32)


def of_files(folder, pairs, **options):
    files = {pair: folder / name for pair, name in pairs.items()}
    return ClipFlow(partial(FlowFiles, files, folder, "walk"), **options)


def test_flow_is_opened_when_asked_for_and_travels_between_processes(tmp_path):
    flow = ClipFlow(partial(StoredFlow, tmp_path / "a.arrow"))
    visible = np.zeros(SIZE, bool)
    with FlowWriter(tmp_path / "a.arrow", "0" * 32, SIZE) as writer:
        writer.write(3, 5, uniform(2), visible)
    for one in (flow, pickle.loads(pickle.dumps(flow)), pickle.loads(pickle.dumps(flow))):
        read, seen = one.read(3, 5)
        np.testing.assert_array_equal(read, uniform(2))
        np.testing.assert_array_equal(seen, visible)
    assert flow.describe(3, 5) == str(tmp_path / "a.arrow")
    with pytest.raises(UserError, match="b.arrow: no such flow file"):
        ClipFlow(partial(StoredFlow, tmp_path / "b.arrow")).read(3, 5)


def test_pixels_without_a_vector_are_out_of_frame_or_refused(tmp_path):
    """The mask of known vectors is not passed off as what is visible."""
    valid = np.ones(SIZE, bool)
    valid[0] = False
    write_kitti_png(tmp_path / "1.png", uniform(-2), valid)
    holes = uniform(-2)
    holes[0] = 1e10
    write_flo(tmp_path / "2.flo", holes)
    for name in ("1.png", "2.flo"):
        flow, visible = of_files(tmp_path, {(1, 2): name}).read(1, 2)
        assert visible is None
        assert (flow[0] > 1e5).all() and (flow[1:] == (-2, 0)).all()
        message = f"{name}: 16 pixels have no valid vector, and this protocol counts every pixel"
        with pytest.raises(UserError, match=message):
            of_files(tmp_path, {(1, 2): name}, dense=True).read(1, 2)


def test_visibility_from_backward_files(tmp_path):
    """Forward 3 right, backward 3 left but for one row that says nothing moved: that row and the border are hidden."""
    write_flo(tmp_path / "f.flo", uniform(3))
    backward = uniform(-3)
    backward[4] = 0
    write_flo(tmp_path / "b.flo", backward)
    _, visible = of_files(tmp_path, {(0, 1): "f.flo", (1, 0): "b.flo"}, visibility=True).read(0, 1)
    expected = np.ones(SIZE, bool)
    expected[4] = False
    expected[:, 13:] = False
    np.testing.assert_array_equal(visible, expected)


def test_imported_flow_is_visible_where_the_way_back_says_so(tmp_path):
    """As in ``test_visibility_from_backward_files``; the mask of a packed file is what is known."""
    backward, valid = uniform(-3), np.ones(SIZE, bool)
    backward[4] = 0
    valid[7] = False
    write_kitti_png(tmp_path / "a/0_1.png", uniform(3), valid)
    write_kitti_png(tmp_path / "a/1_0.png", backward)
    pack(tmp_path / "a", tmp_path / "a.arrow")
    packed = pickle.loads(pickle.dumps(ClipFlow(partial(StoredFlow, tmp_path / "a.arrow"), visibility=True)))
    flow, visible = packed.read(0, 1)
    expected = np.ones(SIZE, bool)
    expected[[4, 7]] = False
    expected[:, 13:] = False
    np.testing.assert_array_equal(visible, expected)
    assert (flow[7] > 1e5).all() and not inside_frame(flow)[7].any()
    assert packed.describe(0, 1) == str(tmp_path / "a.arrow")
    with pytest.raises(UserError, match="a.arrow: 16 pixels have no valid vector"):
        ClipFlow(partial(StoredFlow, tmp_path / "a.arrow"), dense=True).read(0, 1)


def test_flow_of_the_stage_is_taken_as_it_is(tmp_path):
    """Exact flow may lead far out of the frame; its mask is what is visible."""
    visible = np.ones(SIZE, bool)
    visible[3] = False
    with FlowWriter(tmp_path / "a.arrow", "0" * 32, SIZE, 1 / 64, "exact") as writer:
        writer.write(0, 1, uniform(100), visible)
    flow, seen = ClipFlow(partial(StoredFlow, tmp_path / "a.arrow"), visibility=True, dense=True).read(0, 1)
    np.testing.assert_array_equal(flow, uniform(100))
    np.testing.assert_array_equal(seen, visible)


def test_estimated_visibility_asks_for_every_frame_once():
    frames, asked = [np.full((*SIZE, 3), number, np.uint8) for number in range(4)], []

    def frame(number):
        asked.append(number)
        return frames[number]

    def estimate(first, second):
        """Knows the way: 3 to the right if second follows first, else back."""
        return uniform(3 if first[0, 0, 0] < second[0, 0, 0] else -3)

    flow = ClipFlow(partial(EstimatedFlow, frame, estimate), visibility=True)
    expected = np.ones(SIZE, bool)
    expected[:, 13:] = False
    for number in range(3):
        read, visible = flow.read(number, number + 1)
        assert (read == (3, 0)).all()
        np.testing.assert_array_equal(visible, expected)
    assert asked == [0, 1, 2, 3]


def test_a_missing_way_back_and_one_of_another_size_are_named(tmp_path):
    write_flo(tmp_path / "0.flo", uniform(1))
    write_flo(tmp_path / "1.flo", uniform(1, size=(5, 5)))
    with pytest.raises(UserError, match="no flow from frame 1 to 0"):
        of_files(tmp_path, {(0, 1): "0.flo"}, visibility=True).read(0, 1)
    with pytest.raises(UserError, match="1.flo: 5x5 pixels, the reverse flow has 16x12"):
        of_files(tmp_path, {(0, 1): "0.flo", (1, 0): "1.flo"}, visibility=True).read(0, 1)


class Recorder:
    """Flow without motion; remembers what it was asked for."""

    def __init__(self, bad):
        self.bad, self.asked = bad, []

    def read(self, source, target):
        self.asked.append((source, target))
        if (source, target) == self.bad:
            raise UserError(f"flow {source} is damaged")
        return uniform(0), None


def test_two_runs_share_the_flow_of_a_pair():
    recorder = Recorder(bad=(1, 2))
    shared = ClipFlow(lambda: recorder)
    pairs, rng = [(0, 1), (1, 2), (2, 3)], np.random.default_rng(0)
    runs = [rng.integers(0, 3, (4, *SIZE)).astype(np.uint8) for _ in range(2)]
    judges = [ClipJudge(Clip("walk", pairs, run.__getitem__, shared), 3, skip_bad=True) for run in runs]
    results = [[judge(*pair) for judge in judges] for pair in pairs]
    assert recorder.asked == pairs
    assert [[bool(one.skipped) for one in pair] for pair in results] == [[False] * 2, [True] * 2, [False] * 2]
