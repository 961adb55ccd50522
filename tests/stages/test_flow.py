"""The flow stage: which pairs it computes, and what its files are keyed by."""

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.dataset.dataset import Dataset
from etc.dataset.location import Location, write_pointer
from etc.dataset.manifest import checksum
from etc.flow import methods
from etc.flow.io import write_flo
from etc.flow.store import FlowWriter, StoredFlow
from etc.flow.visibility import forward_backward_visible
from etc.flow.warp import inside_frame
from etc.params.flow import FlowParams
from etc.stages.flow import Task, clip_key, compute_clip, frame_pairs

SETTINGS = FlowParams(
    method="dis", preset="fast", splits=["train"], max_offset=1, steps_per_pixel=16, visibility="forward_backward"
)


@pytest.fixture
def task(tmp_path):
    generator = np.random.default_rng(0)
    texture = cv2.resize(generator.integers(0, 256, (10, 20, 3)).astype(np.uint8), (100, 60))
    dataset, rows = Dataset("some", tmp_path), []
    dataset.root.mkdir(parents=True)
    for number in range(3):
        # The scene moves two pixels to the left in each frame.
        image = np.ascontiguousarray(texture[4:52, 10 + 2 * number : 74 + 2 * number])
        data = cv2.imencode(".png", image)[1].tobytes()
        path = dataset.root / f"{number}.png"
        path.write_bytes(data)
        row = {"clip": "a", "frame": 10 * number, "image": path.name, "height": 48, "width": 64}
        rows.append({**row, "checksum": checksum(data)})
    return Task("a", dataset, rows, SETTINGS, tmp_path / "a.arrow")


def test_pairs_are_all_that_are_near_in_both_directions():
    assert frame_pairs([7, 3, 5], 1) == [(3, 5), (5, 3), (5, 7), (7, 5)]
    assert frame_pairs([0, 1, 2], 2)[:4] == [(0, 1), (1, 0), (0, 2), (2, 0)]
    pairs = frame_pairs(list(range(12)), 3)
    expected = [(s, t) for s in range(12) for t in range(12) if 0 < abs(s - t) <= 3]
    assert sorted(pairs) == expected


def test_flow_points_from_source_to_target(task):
    assert compute_clip(task) == 4
    reader = StoredFlow(task.path, clip_key(task))
    flow, visible = reader.read(0, 10)
    assert np.median(flow[8:-8, 8:-8, 0]) == pytest.approx(-2, abs=0.1)
    assert np.median(flow[8:-8, 8:-8, 1]) == pytest.approx(0, abs=0.1)
    backward, _ = reader.read(10, 0)
    # Stored flow is rounded to 1/16 pixel, so that a few pixels may flip.
    assert (visible == forward_backward_visible(flow, backward)).mean() > 0.98
    assert reader.pairs == [(0, 10), (10, 0), (10, 20), (20, 10)]


def test_a_finished_clip_is_not_computed_again(task, monkeypatch):
    compute_clip(task)
    before = task.path.read_bytes()
    monkeypatch.setattr(Dataset, "image", lambda *_: pytest.fail("read a frame again"))
    assert compute_clip(task) == 4
    assert task.path.read_bytes() == before


@pytest.mark.parametrize("change", [{"preset": "medium"}, {"max_offset": 2}, {"steps_per_pixel": 8}, {"scale": 2}])
def test_the_key_changes_with_every_parameter(task, change):
    other = Task(task.clip, task.dataset, task.rows, SETTINGS.model_copy(update=change), task.path)
    assert clip_key(other) != clip_key(task)


def test_the_key_does_not_change_with_what_the_method_ignores(task):
    settings = SETTINGS.model_copy(update={"iterations": 4, "path": "elsewhere", "splits": ["dev"]})
    assert clip_key(with_settings(task, settings)) == clip_key(task)


def test_the_key_changes_with_the_content_of_a_frame_but_not_with_its_place(task):
    moved = [{**row, "image": "elsewhere/" + row["image"]} for row in task.rows]
    changed = [{**task.rows[0], "checksum": "0" * 32}, *task.rows[1:]]
    assert clip_key(Task(task.clip, Dataset("b"), moved, SETTINGS, task.path)) == clip_key(task)
    assert clip_key(Task(task.clip, task.dataset, changed, SETTINGS, task.path)) != clip_key(task)


def test_exact_flow_of_a_data_set_without_it_is_refused(task):
    exact = SETTINGS.model_copy(update={"method": "exact", "visibility": "exact"})
    with pytest.raises(UserError, match="no exact flow of clip 'a'"):
        compute_clip(Task(task.clip, task.dataset, task.rows, exact, task.path))


def with_settings(task, settings):
    return Task(task.clip, task.dataset, task.rows, settings, task.path)


@pytest.fixture
def exported(task, tmp_path):
    """The task with flow made by others: DIS flow of another preset, one vector unknown."""
    estimate = methods.build("dis", preset="medium")
    folder = tmp_path / "others"
    for source, target in task.pairs:
        first, second = (task.dataset.image(row) for row in task.rows if row["frame"] in (source, target))
        flow = estimate(first, second) if source < target else estimate(second, first)
        if (source, target) == (0, 10):
            flow[20, 30] = 1e10
        write_flo(folder / "a" / f"{source}_{target}.flo", flow)
    return with_settings(task, SETTINGS.model_copy(update={"method": "folder", "path": str(folder)}))


def test_flow_of_others_is_taken_over(task, exported):
    assert compute_clip(exported) == 4
    flow, visible = StoredFlow(exported.path, clip_key(exported)).read(0, 10)
    medium = with_settings(task, SETTINGS.model_copy(update={"preset": "medium"}))
    compute_clip(medium)
    expected, expected_visible = StoredFlow(medium.path, clip_key(medium)).read(0, 10)
    unknown = np.zeros(flow.shape[:2], bool)
    unknown[20, 30] = True
    np.testing.assert_array_equal(flow[~unknown], expected[~unknown])
    assert not visible[unknown] and not inside_frame(flow)[unknown]
    np.testing.assert_array_equal(visible[~unknown], expected_visible[~unknown])


def test_the_key_of_flow_of_others_is_its_content(task, exported, tmp_path):
    before = clip_key(exported)
    assert before != clip_key(task)
    (tmp_path / "others").rename(tmp_path / "moved")
    moved = with_settings(task, exported.settings.model_copy(update={"path": str(tmp_path / "moved")}))
    assert clip_key(moved) == before
    write_flo(tmp_path / "moved" / "a" / "20_10.flo", np.zeros((48, 64, 2), np.float32))
    assert clip_key(moved) != before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no flow from frame 10 to 20 of clip 'a'"),
        (lambda path: write_flo(path, np.zeros((48, 63, 2), np.float32)), r"10_20\.flo: 63x48 pixels"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), r"10_20\.flo: truncated"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\0\0\xc0\x7f"),
            r"10_20\.flo: .*row 47, column 63.*nan",
        ),
    ],
)
def test_bad_flow_of_others_is_named_and_nothing_is_left(exported, tmp_path, damage, message):
    damage(tmp_path / "others/a/10_20.flo")
    with pytest.raises(UserError, match=message) as caught:
        compute_clip(exported)
    assert "\n" not in str(caught.value)
    assert not exported.path.exists()


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (np.full((48, 64, 2), np.nan, np.float32), "dis flow of clip 'a' from frame 0 to 10: .*nan"),
        (np.zeros((48, 60, 2), np.float32), r"dis flow of clip 'a' from frame 0 to 10: its size \(48, 60\)"),
    ],
)
def test_a_method_that_fails_is_named(task, monkeypatch, flow, message):
    monkeypatch.setattr("etc.stages.flow._method", lambda _: Fixed(flow))
    with pytest.raises(UserError, match=message):
        compute_clip(task)
    assert not task.path.exists()


def test_a_method_that_fails_names_the_users_own_file(task, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    task.dataset.root.rename(theirs)
    task.dataset.root.mkdir()
    write_pointer(task.dataset.root, Location(str(theirs)))

    def fail(first, second):
        raise UserError("fails")

    fail.parameters, fail.version, fail.name = {}, "1", "fail"
    monkeypatch.setattr("etc.stages.flow._method", lambda _: fail)
    with pytest.raises(UserError, match=rf"{theirs}/0.png: fails"):
        compute_clip(task)


class Fixed:
    name, version, parameters = "fixed", "1", {}

    def __init__(self, flow):
        self.flow = flow

    def __call__(self, first, second):
        return self.flow


def test_exact_flow_with_the_forward_backward_check(task):
    """The visibility that comes with exact flow counts only where it is asked for."""
    shape = (48, 64)
    flow, nothing = np.zeros((*shape, 2), np.float32), np.zeros(shape, bool)
    with FlowWriter(task.dataset.root / "flow" / "val" / "a.arrow", "k", shape) as writer:
        for pair in task.pairs:
            writer.write(*pair, flow, nothing)
    for visibility in ("exact", "forward_backward"):
        chosen = with_settings(task, SETTINGS.model_copy(update={"method": "exact", "visibility": visibility}))
        compute_clip(chosen)
        visible = StoredFlow(chosen.path, clip_key(chosen)).read(0, 10)[1]
        assert visible.all() if visibility == "forward_backward" else not visible.any()
    before = clip_key(chosen)
    with FlowWriter(task.dataset.root / "flow" / "val" / "a.arrow", "k", shape) as writer:
        for pair in task.pairs:
            writer.write(*pair, flow + 1, nothing)
    assert clip_key(chosen) != before
