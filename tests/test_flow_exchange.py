"""Flow out of the store and into it, through the files of the field, by function and by command."""

import sys

import numpy as np
import pytest

from etc import cli
from etc.commands.arguments import CORES
from etc.core.errors import UserError
from etc.flow.io import read_flo, read_kitti_png, write_flo, write_kitti_png
from etc.flow.store import FlowWriter, StoredFlow
from etc.flow_exchange import export, pack

SHAPE = (12, 20)


@pytest.fixture
def stored(tmp_path):
    """Two pairs; in the second one vector had saturated."""
    rng = np.random.default_rng(0)
    path = tmp_path / "flow" / "clip_7.arrow"
    with FlowWriter(path, "key", SHAPE) as writer:
        flow = (rng.integers(-160, 160, (*SHAPE, 2)) / 16).astype(np.float32)
        writer.write(3, 4, flow, rng.random(SHAPE) < 0.7)
        flow = -flow
        flow[0, 0] = 1e10
        writer.write(4, 3, flow)
    return path


def test_flo_holds_what_the_store_holds(stored, tmp_path):
    assert export(stored, tmp_path / "out", "flo").startswith("flow of 2 pairs in 1 clip ")
    reader = StoredFlow(stored)
    np.testing.assert_array_equal(read_flo(tmp_path / "out/clip_7/000003_000004.flo"), reader.read(3, 4)[0])
    back = read_flo(tmp_path / "out/clip_7/000004_000003.flo")
    assert (back[0, 0] > 1e9).all()
    np.testing.assert_array_equal(back[1], reader.read(4, 3)[0][1])


def test_kitti_marks_what_is_hidden_or_too_long(stored, tmp_path):
    export(stored.parent, tmp_path / "out", "kitti")
    flow, visible = StoredFlow(stored).read(3, 4)
    read, valid = read_kitti_png(tmp_path / "out/clip_7/000003_000004.png")
    np.testing.assert_array_equal(valid, visible)
    np.testing.assert_array_equal(read[valid], flow[valid])
    _, valid = read_kitti_png(tmp_path / "out/clip_7/000004_000003.png")
    assert not valid[0, 0] and valid.sum() == valid.size - 1
    long = np.zeros((*SHAPE, 2), np.float32)
    long[1, 1], long[2, 2] = 600, 511.9375
    with FlowWriter(tmp_path / "long.arrow", "key", SHAPE) as writer:
        writer.write(0, 1, long)
    export(tmp_path / "long.arrow", tmp_path / "out", "kitti")
    read, valid = read_kitti_png(tmp_path / "out/long/000000_000001.png")
    assert not valid[1, 1] and valid.sum() == valid.size - 1
    assert (read[2, 2] == 511.9375).all()


def test_there_and_back(stored, tmp_path):
    export(stored, tmp_path / "flo", "flo")
    pack(tmp_path / "flo/clip_7", tmp_path / "again.arrow")
    first, second = StoredFlow(stored), StoredFlow(tmp_path / "again.arrow")
    assert (second.pairs, second.shape, second.method) == (first.pairs, SHAPE, "import")
    for pair in first.pairs:
        np.testing.assert_array_equal(second.read(*pair)[0], first.read(*pair)[0])
    assert second.read(3, 4)[1] is None
    known = second.read(4, 3)[1]
    assert not known[0, 0] and known.sum() == known.size - 1


def test_many_clips(tmp_path):
    rng = np.random.default_rng(0)
    valid = rng.random(SHAPE) < 0.5
    flow = (rng.integers(-64, 64, (*SHAPE, 2)) / 16).astype(np.float32)
    for clip in ("a", "b"):
        write_kitti_png(tmp_path / "in" / clip / "0_1.png", flow, valid)
    (tmp_path / "in" / "empty").mkdir()
    pack(tmp_path / "in", tmp_path / "out", step=1 / 32)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.arrow", "b.arrow"]
    reader = StoredFlow(tmp_path / "out/b.arrow")
    read, visible = reader.read(0, 1)
    assert reader.step == 1 / 32
    np.testing.assert_array_equal(visible, valid)
    np.testing.assert_array_equal(read[valid], flow[valid])


def test_the_key_of_a_packed_clip_is_its_content(tmp_path):
    def key(value, step):
        write_flo(tmp_path / "c" / "0_1.flo", np.full((*SHAPE, 2), value, np.float32))
        pack(tmp_path / "c", tmp_path / "c.arrow", step)
        return StoredFlow(tmp_path / "c.arrow").key

    assert key(1, 1 / 16) == key(1, 1 / 16)
    assert len({key(1, 1 / 16), key(2, 1 / 16), key(1, 1 / 8)}) == 3


def test_bad_input_is_named(stored, tmp_path):
    (tmp_path / "nothing").mkdir()
    write_flo(tmp_path / "sizes" / "0_1.flo", np.zeros((*SHAPE, 2), np.float32))
    write_flo(tmp_path / "sizes" / "1_2.flo", np.zeros((3, 4, 2), np.float32))
    write_flo(tmp_path / "unknown" / "0_1.flo", np.full((*SHAPE, 2), 1e10, np.float32))
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 3] ^= 255
    (tmp_path / "damaged.arrow").write_bytes(damaged)
    cases = [
        (lambda: export(stored, tmp_path / "x", "mp4"), "unknown flow format 'mp4'"),
        (lambda: export(tmp_path / "nothing", tmp_path / "x", "flo"), "nothing: no flow file"),
        (lambda: export(tmp_path / "gone.arrow", tmp_path / "x", "flo"), r"gone\.arrow: no such flow file"),
        (lambda: export(tmp_path / "damaged.arrow", tmp_path / "x", "flo"), r"damaged\.arrow: damaged"),
        (lambda: pack(tmp_path / "gone", tmp_path / "x.arrow"), "gone: no such folder"),
        (lambda: pack(tmp_path / "nothing", tmp_path / "x"), "nothing: no flow here"),
        (lambda: pack(tmp_path / "sizes", tmp_path / "x"), r"name it <clip>\.arrow"),
        (lambda: pack(tmp_path / "sizes", tmp_path / "x.arrow"), r"1_2\.flo: 4x3 pixels, .* 20x12"),
        (lambda: pack(tmp_path / "unknown", tmp_path / "x.arrow", scale=2), "unknown vector.*store at scale 1"),
        (lambda: pack(tmp_path / "unknown", tmp_path / "x.arrow", scale=3), "cannot be stored at 1/3"),
    ]
    for action, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            action()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.arrow").exists()


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["etc", "flow", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_the_commands(stored, tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "export", stored, "--to", tmp_path / "out", "--format", "kitti") == 0
    assert command(monkeypatch, "import", tmp_path / "out", "--to", tmp_path / "packed", "--scale", "2") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert command(monkeypatch, "import", tmp_path / "out", "--to", tmp_path / "packed") == 0
    assert StoredFlow(tmp_path / "packed/clip_7.arrow").pairs == [(3, 4), (4, 3)]
    assert command(monkeypatch, "export", tmp_path / "nowhere.arrow", "--to", tmp_path / "x") == 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"error: {tmp_path / 'nowhere.arrow'}: no such flow file; the stage that makes it has not run\n"
    )


@pytest.mark.parametrize(
    "arguments", [("street", "--purpose", "train"), ("compute", "street"), ("--workers", "3", "street")]
)
def test_a_first_word_that_is_no_command_is_the_data_set(monkeypatch, arguments):
    asked = []
    monkeypatch.setattr("etc.commands.flow.run_stage", lambda run: run())
    monkeypatch.setattr("etc.stages.flow.run", lambda *values: asked.append(values) or "")
    assert command(monkeypatch, *arguments) == 0
    assert asked == [("street", "train", 3 if "3" in arguments else CORES)]


def test_help_shows_the_commands(monkeypatch, capsys):
    assert command(monkeypatch, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(name in text for name in ("compute", "export", "import", "etc flow DATASET"))


def test_names_of_kitti_are_clips_of_one_pair(tmp_path):
    """000000_10.png leads from frame 10 of clip 000000 to frame 11, not from frame 0 to 10."""
    for scene in range(3):
        write_kitti_png(tmp_path / f"flow_occ/{scene:06}_10.png", np.full((*SHAPE, 2), scene, np.float32))
    with pytest.raises(UserError, match=r"x\.arrow: .*flow_occ holds the clips 000000, 000001, 000002; name a folder"):
        pack(tmp_path / "flow_occ", tmp_path / "x.arrow")
    assert not (tmp_path / "x.arrow").exists()
    assert pack(tmp_path / "flow_occ", tmp_path / "out").startswith("flow of 3 pairs in 3 clips")
    for scene in range(3):
        reader = StoredFlow(tmp_path / f"out/{scene:06}.arrow")
        assert reader.pairs == [(10, 11)] and (reader.read(10, 11)[0] == scene).all()


@pytest.mark.parametrize(
    "names",
    [
        [f"frankfurt_000000_{frame:06}" for frame in (294, 295, 296)],
        [f"seq_01_{frame:04}" for frame in (1, 2, 3)],
        [f"seq_01_{frame:04}" for frame in (2, 3, 4)],
        ["00_000000", "00_000001"],
        ["walk/000_000", "walk/000_001", "ride/000_001"],
    ],
)
def test_names_of_one_frame_are_not_taken_for_pairs(tmp_path, names):
    for name in names:
        write_flo(tmp_path / f"in/{name}.flo", np.zeros((*SHAPE, 2), np.float32))
    with pytest.raises(UserError, match=rf"{names[0]}\.flo: its name seems to give one frame, but flow has the frame"):
        pack(tmp_path / "in", tmp_path / "out.arrow")
    assert not (tmp_path / "out.arrow").exists()


def test_clips_side_by_side_and_one_clip_in_a_folder(tmp_path):
    for clip in ("walk", "ride"):
        write_flo(tmp_path / f"flat/{clip}_0_1.flo", np.zeros((*SHAPE, 2), np.float32))
    pack(tmp_path / "flat", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ride.arrow", "walk.arrow"]
    write_flo(tmp_path / "nested/run/0_1.flo", np.zeros((*SHAPE, 2), np.float32))
    pack(tmp_path / "nested", tmp_path / "run.arrow")
    assert StoredFlow(tmp_path / "run.arrow").pairs == [(0, 1)]


def test_a_frame_number_beyond_32_bits_is_named(tmp_path):
    write_flo(tmp_path / "c/0_9999999999999999.flo", np.zeros((*SHAPE, 2), np.float32))
    with pytest.raises(UserError, match="pair 0 to 9999999999999999: frame numbers lie between 0 and 2147483647"):
        pack(tmp_path / "c", tmp_path / "c.arrow")
    assert not (tmp_path / "c.arrow").exists()


def test_a_bad_last_file_leaves_no_clip_behind(tmp_path):
    for clip in ("a", "b", "c"):
        write_flo(tmp_path / f"in/{clip}/0_1.flo", np.zeros((*SHAPE, 2), np.float32))
    bad = tmp_path / "in/c/1_2.flo"
    bad.write_bytes((tmp_path / "in/c/0_1.flo").read_bytes()[:-4])
    with pytest.raises(UserError, match=r"c/1_2\.flo: truncated"):
        pack(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
