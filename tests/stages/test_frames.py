"""The frames stage over frames that somebody else made: found, described, verified, never touched."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from etc.cli import app
from etc.core.errors import UserError
from etc.dataset import location
from etc.dataset.dataset import Dataset
from etc.flow.store import StoredFlow
from etc.sources.street import street
from etc.stages import frames

CLASSES = """
classes:
  - {name: dark, ids: [0], colour: [10, 10, 10]}
  - {name: light, ids: [1], colour: [200, 200, 200]}
ignore: [255]
"""
BLOCK = {
    "source": "folder",
    "root": None,
    "images": "images",
    "labels": "labels",
    "classes": "classes.yaml",
    "split": {"train": ["walk"], "test": ["ride"]},
}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A folder of two clips with labels, and a project that finds it by the environment variable."""
    root, draw = tmp_path / "theirs", np.random.default_rng(0)
    for clip in ("walk", "ride"):
        for number in range(4):
            for kind in ("images", "labels"):
                (root / kind / clip).mkdir(parents=True, exist_ok=True)
            image = draw.integers(0, 256, (16, 24, 3), np.uint8)
            cv2.imwrite(str(root / "images" / clip / f"{number:03d}.png"), image)
            cv2.imwrite(str(root / "labels" / clip / f"{number:03d}.png"), (image[..., 0] > 128).astype(np.uint8))
    (root / "classes.yaml").write_text(CLASSES)
    project = tmp_path / "project"
    (project / "params").mkdir(parents=True)
    (project / "params/frames.yaml").write_text(yaml.safe_dump({"mine": BLOCK}))
    monkeypatch.chdir(project)
    monkeypatch.setenv("ETC_ROOT_MINE", str(root))
    return root


def state(root: Path) -> dict:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("folder", "block"),
    [
        ("data/mine/root", {"root": "data/mine/root"}),
        ("data/mine/root", {"root": "elsewhere/../data/mine/root"}),
        ("data/mine/root", {"root": "link"}),
        ("data/mine/root", {"root": None}),  # by the environment variable
        ("work/mine/own", {"root": "work/mine/own"}),
        ("data/mine/root", {"root": "data/mine", "images": "root/images", "labels": "root/labels"}),
    ],
)
def test_frames_where_the_stage_would_delete_them_are_refused_and_stay(theirs, monkeypatch, folder, block):
    own = Path(folder)
    shutil.copytree(theirs, own)
    Path("elsewhere").mkdir()
    Path("link").symlink_to(own)
    monkeypatch.setenv("ETC_ROOT_MINE", str(own.absolute()))
    Path("params/frames.yaml").write_text(yaml.safe_dump({"mine": BLOCK | {"classes": "street"} | block}))
    before = state(own)
    with pytest.raises(UserError, match=f"lies in {Path(*own.parts[:3]) if own.parts[0] == 'data' else 'work/mine'}, "):
        frames.run("mine", 1)
    assert state(own) == before


def test_a_label_of_another_size_than_its_frame_is_refused_at_once(theirs):
    cv2.imwrite(str(theirs / "labels/ride/002.png"), np.zeros((16, 12), np.uint8))
    words = r"labels/ride/002.png: 12x16 pixels, but its frame images/ride/002.png has 24x16 \(1 of 8 labels differ\)"
    with pytest.raises(UserError, match=words):
        frames.run("mine", 1)


def test_foreign_frames_stay_where_they_are_and_are_described(theirs):
    before = state(theirs)
    line = frames.run("mine", workers=2)
    assert line == f"8 frames in 2 clips in {theirs}, manifest data/mine/frames.parquet"
    assert state(theirs) == before
    assert [path.name for path in Path("data/mine/root").iterdir()] == [location.POINTER]
    mine = Dataset("mine")
    table = mine.frames
    assert mine.label_set.names == ("dark", "light")
    assert table.groupby("clip")["split"].first().to_dict() == {"ride": "test", "walk": "train"}
    assert set(table["width"]) == {24} and set(table["height"]) == {16}
    row = table.iloc[0]
    image = cv2.imread(str(theirs / row["image"]))
    np.testing.assert_array_equal(mine.image(row), image[..., ::-1])
    np.testing.assert_array_equal(mine.label(row), image[..., 0] > 128)


def test_the_folder_may_move_without_a_byte_of_the_data_set_changing(theirs, tmp_path, monkeypatch):
    frames.run("mine", workers=1)
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    shutil.move(theirs, tmp_path / "moved")
    with pytest.raises(UserError, match="no such folder; correct the environment variable ETC_ROOT_MINE"):
        frames.run("mine", workers=1)
    monkeypatch.setenv("ETC_ROOT_MINE", str(tmp_path / "moved"))
    frames.run("mine", workers=1)
    assert {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()} == before


def test_frames_are_not_read_again_when_nothing_changed(theirs, monkeypatch):
    frames.run("mine", workers=1)
    monkeypatch.setattr("etc.sources.check.content._read", lambda path: pytest.fail(f"read {path} again"))
    frames.run("mine", workers=1)


def test_a_wrong_file_stops_the_stage_and_keeps_what_was_there(theirs):
    frames.run("mine", workers=1)
    before = Path("data/mine/frames.parquet").read_bytes()
    path = theirs / "images/walk/002.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(
        UserError, match=r"walk/002\.png: truncated.*1 of 16 files are wrong: 'etc frames mine --verify'"
    ):
        frames.run("mine", workers=1)
    assert Path("data/mine/frames.parquet").read_bytes() == before


def test_verify_before_and_after_the_manifest(theirs):
    runner = CliRunner()
    result = runner.invoke(app, ["frames", "mine", "--verify"])
    assert result.exit_code == 0 and "nothing is wrong" in result.stdout
    assert not Path("data").exists()
    frames.run("mine", workers=1)
    path = theirs / "images/ride/001.png"
    pixels = cv2.imread(str(path))
    cv2.imwrite(str(path), 255 - pixels)
    (theirs / "labels/walk/003.png").unlink()
    result = runner.invoke(app, ["frames", "mine", "--verify"])
    assert result.exit_code == 1 and "mine: 2 files are missing or wrong" in result.stderr
    table = pq.read_table("work/mine/verification.parquet").to_pandas()
    wrong = table[table["subject"] == "file"]
    assert set(wrong["path"]) == {"images/ride/001.png", "labels/walk/003.png"}
    with pytest.raises(UserError, match=r"ride/001\.png: its content differs from the manifest"):
        Dataset("mine").image(Dataset("mine").frames.iloc[1])


def test_a_folder_that_is_not_found_says_how_to_name_it(theirs, monkeypatch):
    monkeypatch.delenv("ETC_ROOT_MINE")
    for act in (lambda: frames.run("mine", 1), lambda: frames.verify("mine", 1)):
        with pytest.raises(UserError, match="'root' in params/frames.yaml or ETC_ROOT_MINE"):
            act()


def test_a_video_becomes_frames_of_the_data_set(tmp_path, monkeypatch):
    writer = cv2.VideoWriter(str(tmp_path / "drive.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (48, 32))
    for number in range(12):
        writer.write(np.full((32, 48, 3), 20 * number, np.uint8))
    writer.release()
    block = {"source": "video", "root": str(tmp_path / "drive.avi"), "clip_frames": 4, "classes": "street"}
    (tmp_path / "params").mkdir()
    (tmp_path / "params/frames.yaml").write_text(yaml.safe_dump({"mine": block}))
    monkeypatch.chdir(tmp_path)
    frames.run("mine", workers=1)
    mine = Dataset("mine")
    table = mine.frames
    assert len(table) == 12 and table["clip"].nunique() == 3 and not table["annotated"].any()
    assert not (Path("data/mine/root") / location.POINTER).exists()
    levels = [int(mine.image(row).mean()) for row in table.to_dict("records")]
    assert np.abs(np.array(levels) - 20 * table["frame"]).max() <= 3
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    frames.run("mine", workers=2)
    assert {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_root_is_no_obstacle(theirs):
    for path in [theirs, *theirs.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    frames.run("mine", workers=1)


def test_two_data_sets_may_have_one_root(theirs, monkeypatch):
    monkeypatch.setenv("ETC_ROOT_OTHER", str(theirs))
    block = BLOCK | {"labels": None, "split": {"train": ["*"]}}
    Path("params/frames.yaml").write_text(yaml.safe_dump({"mine": BLOCK, "other": block}))
    before = state(theirs)
    for name in ("mine", "other"):
        assert frames.run(name, workers=1).startswith("8 frames")
    assert state(theirs) == before
    assert Dataset("mine").frames["label"].ne("").all() and Dataset("other").frames["label"].eq("").all()
    np.testing.assert_array_equal(*(Dataset(name).image(Dataset(name).frames.iloc[0]) for name in ("mine", "other")))


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_is_no_file_is_named_and_never_waited_for(theirs, kind):
    path = theirs / "images/walk/002.png"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(UserError, match=r"walk/002\.png: unreadable \("):
        frames.run("mine", workers=1)
    result = CliRunner().invoke(app, ["frames", "mine", "--verify"])
    assert result.exit_code == 1 and "images/walk/002.png: " in result.stdout


def test_links_that_lead_back_are_not_followed_for_ever(theirs):
    (theirs / "images/walk/again").symlink_to(theirs / "images")
    (theirs / "images/ride/again").symlink_to(theirs / "images/walk")
    (theirs / "images/self").symlink_to("self")
    Path("params/frames.yaml").write_text(yaml.safe_dump({"mine": BLOCK | {"labels": None, "split": {"train": ["*"]}}}))
    # Each folder is read where it stands and where a link to it leads from outside.
    assert frames.run("mine", workers=1).startswith("12 frames in 3 clips")


def test_file_names_do_not_reach_the_terminal_raw(theirs):
    for name in ("\x1b[31m_004.png", "\x1b[32m\n005.png"):
        path = theirs / "images" / name
        path.write_bytes((theirs / "images/walk/003.png").read_bytes()[:-20])
    for clip in ("walk", "ride"):
        shutil.rmtree(theirs / "images" / clip)
    Path("params/frames.yaml").write_text(yaml.safe_dump({"mine": BLOCK | {"labels": None, "split": {"train": ["*"]}}}))
    result = CliRunner().invoke(app, ["frames", "mine", "--verify"])
    assert result.exit_code == 1 and "\x1b" not in result.output
    assert "images/\\x1b[31m_004.png: the PNG ends within a chunk" in result.stdout
    assert "note: left out: images/\\x1b[32m\\n005.png: no frame number in its name" in result.stderr


def test_frames_of_all_formats_make_one_clip(theirs):
    """With ids as arrays and as palettes."""
    for number, suffix in enumerate((".bmp", ".tif", ".webp", ".jpg", ".TIFF")):
        pixels = np.full((16, 24, 3), 40 * number, np.uint8)
        for name in ("images", "labels"):
            (theirs / name / "mixed").mkdir(exist_ok=True)
        assert cv2.imwrite(str(theirs / f"images/mixed/{number}{suffix}"), pixels)
        np.save(theirs / f"labels/mixed/{number}.npy", np.full((16, 24), number % 2))
    for name in ("walk", "ride"):
        shutil.rmtree(theirs / "images" / name)
        shutil.rmtree(theirs / "labels" / name)
    Path("params/frames.yaml").write_text(yaml.safe_dump({"mine": BLOCK | {"split": {"train": ["*"]}}}))
    assert frames.run("mine", workers=1).startswith("5 frames in 1 clip ")
    mine = Dataset("mine")
    for number, row in enumerate(mine.frames.to_dict("records")):
        assert np.abs(mine.image(row).astype(int) - 40 * number).max() <= 2
        assert (mine.label(row) == number % 2).all()
    assert CliRunner().invoke(app, ["frames", "mine", "--verify"]).exit_code == 0


@pytest.mark.parametrize(("width", "steps"), [(256, 128), (512, 64), (2048, 16)])
def test_exact_flow_of_large_frames_is_stored_in_coarser_steps(width, steps, tmp_path):
    flow = np.zeros((8, width, 2), np.float32)
    flow[..., 0] = width - 1
    images = np.zeros((2, 8, width, 3), np.uint8)
    flows = {(0, 1): (flow, np.ones((8, width), bool))}
    clip = street.Clip("a", "train", images, images[..., 0], flows)
    frames.save_exact_flow(tmp_path / "a.arrow", clip)
    stored = StoredFlow(tmp_path / "a.arrow")
    assert stored.step == 1 / steps
    np.testing.assert_array_equal(stored.read(0, 1)[0], flow)
