"""Pairs that agree least: which they are, and what their pictures show."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from etc.colours import label_set_of
from etc.core.errors import UserError
from etc.measure.examples import WIDEST
from etc.measure.run import Request, evaluate_folders
from tests.commands import world

RED = (230, 20, 30)


def colours(classes):
    return label_set_of([str(one) for one in range(classes)])


def decoded(file):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.fixture
def root(tmp_path):
    """Two clips of perfect predictions but for one frame of each: a tenth, and a fifth, of class 1."""
    world.make(tmp_path)
    for clip, rows in (("ride", 5), ("walk", 10)):
        path = tmp_path / f"predictions/{clip}/0002.png"
        ids = np.asarray(Image.open(path)).copy()
        ids[:rows] = (ids[:rows] + 1) % world.CLASSES
        world.save(path, ids)
    return tmp_path


def request(root, **more):
    return Request(root / "predictions", flow=str(root / "flow"), **more)


def test_the_lowest_pairs_come_first_and_their_differences_are_red(root):
    outcome = evaluate_folders(request(root, frames=root / "frames"), colours)
    found = [(one.clip, one.source, one.target) for one in outcome.examples]
    assert found[:4] == [("walk", 1, 2), ("walk", 2, 3), ("ride", 1, 2), ("ride", 2, 3)] and len(found) == 5
    first = outcome.examples[0]
    (view,) = first.views
    agreement = {(one.clip, one.source): one.counts["corrected"] for one in outcome.results}["walk", 1]
    assert view.agreement == pytest.approx(agreement.same / agreement.counted) == pytest.approx(1 - 10 / world.HEIGHT)
    ids = [np.asarray(Image.open(root / f"predictions/walk/{number:04d}.png")) for number in (1, 2)]
    palette = np.array(colours(world.CLASSES).palette)
    np.testing.assert_array_equal(decoded(view.now), palette[ids[0]])
    inside = slice(0, world.WIDTH - world.MOTION)
    np.testing.assert_array_equal(decoded(view.seen)[:, inside], palette[ids[1][:, world.MOTION :]])
    changed = decoded(view.changed)
    red = (changed == RED).all(axis=-1)[:, inside]
    assert red[:10].all() and not red[10:].any()
    assert not changed[:, world.WIDTH - world.MOTION :].any()
    frame = np.asarray(Image.open(root / "frames/walk/0001.png")).astype(int)
    assert np.abs(decoded(first.frame) - frame).mean() < 10


def test_the_other_folder_is_drawn_where_it_has_the_pair(root):
    world.make(root, ("walk",), name="other", frames=False, flow=False)
    (root / "other/walk/0003.png").write_bytes(b"damaged")
    wanted = request(root, against=root / "other", skip_bad=True, classes=world.CLASSES)
    examples = evaluate_folders(wanted, colours).examples
    assert [len(one.views) for one in examples[:3]] == [2, 1, 1]
    assert examples[0].views[0].agreement < examples[0].views[1].agreement == 1.0


def test_pictures_do_not_depend_on_the_number_of_processes(root):
    wanted = replace(request(root, frames=root / "frames"), flow="dis")
    assert evaluate_folders(wanted, colours).examples == evaluate_folders(replace(wanted, workers=2), colours).examples
    assert evaluate_folders(wanted).examples == ()


@pytest.mark.parametrize("protocol", ["etc_released", "vspw_released"])
def test_every_protocol_is_drawn(root, protocol):
    examples = evaluate_folders(request(root, protocol=protocol), colours).examples
    assert len(examples) == 5 and all(one.frame is None for one in examples)


def test_large_pictures_are_scaled_down_and_a_single_pair_is_enough(tmp_path):
    for number in range(2):
        world.save(tmp_path / f"predictions/{number}.png", np.full((3, 2 * WIDEST), 254, np.uint8))
        world.save(tmp_path / f"frames/{number}.png", np.zeros((3, 2 * WIDEST, 3), np.uint8))
        (tmp_path / "flow").mkdir(exist_ok=True)
        world.write_flo(tmp_path / f"flow/{number}.flo", np.zeros((3, 2 * WIDEST, 2), np.float32))
    (one,) = evaluate_folders(request(tmp_path, frames=tmp_path / "frames"), colours).examples
    assert one.size == (2 * WIDEST, 3) and decoded(one.views[0].changed).shape == (2, WIDEST, 3)
    assert decoded(one.frame).shape == (2, WIDEST, 3)


def test_a_frame_that_cannot_be_read_is_named(root):
    """Nothing reads the frames before, since the flow is read from files."""
    (root / "frames/walk/0001.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match="walk/0001.png: not a readable picture"):
        evaluate_folders(request(root, frames=root / "frames"), colours)
    example = evaluate_folders(request(root, frames=root / "frames", skip_bad=True), colours).examples[0]
    assert example.frame is None and "walk/0001.png" in example.problem and len(example.views) == 1
