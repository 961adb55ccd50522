"""The flow stage: which pairs it computes, and what its files are keyed by."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from etc.datasets import manifest
from etc.errors import UserError
from etc.flow.store import FlowReader
from etc.flow.visibility import forward_backward_visible
from etc.params.flow import FlowParams
from etc.stages.flow import Task, clip_key, compute_clip, frame_pairs

SETTINGS = FlowParams(
    method="dis", preset="fast", splits=["train"], max_offset=1, steps_per_pixel=16, visibility="forward_backward"
)


@pytest.fixture
def task(tmp_path):
    generator = np.random.default_rng(0)
    texture = cv2.resize(generator.integers(0, 256, (10, 20, 3)).astype(np.uint8), (100, 60))
    rows = []
    for number in range(3):
        # The scene moves two pixels to the left in each frame.
        image = np.ascontiguousarray(texture[4:52, 10 + 2 * number : 74 + 2 * number])
        data = cv2.imencode(".png", image)[1].tobytes()
        path = tmp_path / f"{number}.png"
        path.write_bytes(data)
        row = {"clip": "a", "frame": 10 * number, "image": path.name, "height": 48, "width": 64}
        rows.append({**row, "checksum": manifest.checksum(data)})
    return Task("a", tmp_path, rows, SETTINGS, tmp_path / "a.arrow")


def test_pairs_are_all_that_are_near_in_both_directions():
    assert frame_pairs([7, 3, 5], 1) == [(3, 5), (5, 3), (5, 7), (7, 5)]
    pairs = frame_pairs(list(range(12)), 3)
    expected = [(s, t) for s in range(12) for t in range(12) if 0 < abs(s - t) <= 3]
    assert sorted(pairs) == expected


def test_flow_points_from_source_to_target(task):
    assert compute_clip(task) == 4
    reader = FlowReader(task.path, clip_key(task))
    flow, visible = reader.read(0, 10)
    assert np.median(flow[8:-8, 8:-8, 0]) == pytest.approx(-2, abs=0.1)
    assert np.median(flow[8:-8, 8:-8, 1]) == pytest.approx(0, abs=0.1)
    backward, _ = reader.read(10, 0)
    # Stored flow is rounded to 1/16 pixel, so that a few pixels may flip.
    assert (visible == forward_backward_visible(flow, backward)).mean() > 0.98


def test_a_finished_clip_is_not_computed_again(task, monkeypatch):
    compute_clip(task)
    before = task.path.read_bytes()
    monkeypatch.setattr(manifest, "load_image", lambda *_: pytest.fail("read a frame again"))
    assert compute_clip(task) == 4
    assert task.path.read_bytes() == before


@pytest.mark.parametrize("change", [{"preset": "medium"}, {"max_offset": 2}, {"steps_per_pixel": 8}])
def test_the_key_changes_with_every_parameter(task, change):
    other = Task(task.clip, task.root, task.rows, SETTINGS.model_copy(update=change), task.path)
    assert clip_key(other) != clip_key(task)


def test_the_key_changes_with_the_content_of_a_frame_but_not_with_its_place(task):
    moved = [{**row, "image": "elsewhere/" + row["image"]} for row in task.rows]
    changed = [{**task.rows[0], "checksum": "0" * 32}, *task.rows[1:]]
    assert clip_key(Task(task.clip, Path("/b"), moved, SETTINGS, task.path)) == clip_key(task)
    assert clip_key(Task(task.clip, task.root, changed, SETTINGS, task.path)) != clip_key(task)


def test_exact_flow_of_a_data_set_without_it_is_refused(task):
    exact = SETTINGS.model_copy(update={"method": "exact", "visibility": "exact"})
    with pytest.raises(UserError, match="no exact flow of clip 'a'"):
        compute_clip(Task(task.clip, task.root, task.rows, exact, task.path))
