"""``etc predict``: one PNG a frame, in every form."""

import json
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from etc.cli import app
from etc.core.outputs import MARKER
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.dataset.location import Location, write_pointer
from etc.inference import predict
from etc.models import registry, weights
from etc.models.fused import fused
from etc.sources.folder.layouts import read_folder
from tests.training import toy

FOLDER = "data/street/students/one"


@pytest.fixture
def project(tmp_path, monkeypatch):
    toy.make(tmp_path, clips=2, frames=3)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    config = {"architecture": "pspnet18", "width": 8, "classes": 9, "class_names": list(STREET.names)}
    weights.save(FOLDER, registry.build("pspnet18", 9, 8), config)
    return tmp_path


def run(*arguments):
    """Run the command; of options given twice the last one counts."""
    return CliRunner().invoke(app, ["predict", FOLDER, "street", "--to", "out", "--split", "train", *arguments])


def expected():
    network, _ = weights.load(FOLDER)
    data = Dataset("street")
    rows = data.frames.to_dict("records")
    images = [data.image(row) for row in rows]
    return rows, [predict(fused(network), image[None], 1)[0] for image in images]


@pytest.mark.parametrize("form", ["ids", "labels", "colours", "overlay"])
def test_every_frame_has_its_prediction(project, form):
    result = run("--form", form)
    assert result.exit_code == 0 and "6 predictions" in result.stdout
    found = read_folder("out", [".png"]).clips
    for row, prediction in zip(*expected(), strict=True):
        pixels = cv2.imread(str(found[row["clip"]][row["frame"]]), cv2.IMREAD_UNCHANGED)
        if form == "ids":
            np.testing.assert_array_equal(pixels, prediction)
        elif form == "labels":
            np.testing.assert_array_equal(STREET.encode(pixels), prediction)
        elif form == "colours":
            np.testing.assert_array_equal(pixels[..., ::-1], STREET.colour(prediction))
        else:
            assert pixels.shape == (*prediction.shape, 3)


def test_only_labelled_frames_on_demand(project):
    path = Path("data/street/frames.parquet")
    frames = manifest.read(path)
    rest = frames["frame"] != 1
    frames.loc[rest, ["label", "label_checksum"]] = ""
    manifest.write(path, frames, STREET)
    assert "2 predictions" in run("--labelled").stdout


def test_what_does_not_fit_is_named(project):
    assert "--form odd: choose one of ids" in run("--form", "odd").stderr
    assert "no such frame in split 'dev'" in run("--split", "dev").stderr
    path = Path("data/street/frames.parquet")
    manifest.write(path, manifest.read(path), CITYSCAPES)
    assert "trained on the classes road, sidewalk, building, pole" in run().stderr
    assert not Path("out").exists()


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(*arguments):
    """The one line of a command that is refused and writes nothing."""
    before = contents()
    result = run(*arguments)
    assert result.exit_code == 1 and result.stderr.strip().count("\n") == 0, result.output
    assert contents() == before
    return result.stderr


@pytest.fixture
def splits(project):
    """The two clips in two splits, each in a folder of its own as in Cityscapes, and the images also side by side."""
    path = Path("data/street/frames.parquet")
    frames = manifest.read(path)
    frames["split"] = frames["clip"].map({"street_000000": "train", "street_000001": "test"})
    manifest.write(path, frames, STREET)
    separate = frames.assign(image="leftImg8bit/" + frames["split"] + "/" + frames["image"])
    for old, new in zip(frames["image"], separate["image"], strict=True):
        target = Path("data/street/root", new)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path("data/street/root", old).read_bytes())
    return path, separate


def suggested(output):
    """The arguments of the ready ``etc tc`` command in the closing lines."""
    command = output.split("to measure their consistency: ")[1].splitlines()[0]
    program, *arguments = shlex.split(command)
    assert program == "etc"
    return arguments


@pytest.mark.parametrize(("split", "count", "clips"), [("train", 3, 1), ("test", 3, 1), ("all", 6, 2)])
def test_the_suggested_command_measures_the_predictions(splits, split, count, clips):
    path, separate = splits
    manifest.write(path, separate, STREET)
    shutil.rmtree("data/street/root/images")
    result = run("--split", split, "--to", "out of it")
    assert result.exit_code == 0 and f"{count} predictions" in result.stdout
    arguments = suggested(result.stdout)
    assert "--label-set street" in result.stdout
    measured = CliRunner().invoke(app, [*arguments, "--workers", "1", "--json", "tc.json"])
    assert measured.exit_code == 0, measured.output
    found = json.loads(Path("tc.json").read_text())
    assert len(found["clips"]) == clips and found["pairs"] == 2 * clips and found["skipped"] == []


def test_where_other_splits_share_the_folder_the_closing_line_says_what_to_do(splits):
    shared = run("--split", "test")
    assert shared.exit_code == 0 and "data/street/root/images" in shared.stdout
    assert "it also holds clip street_000000, which has no prediction; predict with --split all" in shared.stdout
    both = run("--split", "all", "--to", "both")
    assert CliRunner().invoke(app, [*suggested(both.stdout), "--workers", "1"]).exit_code == 0
    assert "etc tc" not in run("--form", "overlay", "--to", "drawn").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "data/street/root"], "root: the same as the input data/street/root"),
        (["--to", "data/street/root/images"], "images: inside the input data/street/root"),
        (["--to", "link/images"], "inside the input data/street/root"),
        (["--to", "here"], "000000.png: inside the input"),
        (["--to", "theirs"], "000001.png: exists and was not made by this command"),
        (["--to", "ov.avi"], "ov.avi: a folder is written here, not a .avi file; name a folder"),
        (["--to", "note.txt"], "note.txt: a file stands in the way"),
        (["--to", "/dev/null"], "/dev/null: a file stands in the way"),
        (["--split", "val"], "--split val: choose one of train, dev, test, all"),
    ],
)
def test_nothing_of_the_user_is_replaced(project, arguments, message):
    Path("link").symlink_to("data/street/root")
    Path("here").mkdir()
    Path("here/street_000000").symlink_to(Path("data/street/root/images").absolute())
    Path("theirs/street_000000").mkdir(parents=True)
    Path("theirs/street_000000/000001.png").write_bytes(b"a frame")
    Path("note.txt").write_text("mine")
    assert message in refused(*arguments)


def test_foreign_frames_are_inputs_too(project):
    """Frames that lie elsewhere, found by the pointer in ``root``, in the very layout of the predictions."""
    path = Path("data/street/frames.parquet")
    frames = manifest.read(path)
    moved = frames.assign(image=[f"{row.clip}/{row.frame:06d}.png" for row in frames.itertuples()])
    for old, new in zip(frames["image"], moved["image"], strict=True):
        target = Path("mine", new)
        target.parent.mkdir(parents=True, exist_ok=True)
        Path("data/street/root", old).rename(target)
    manifest.write(path, moved.assign(label="", label_checksum="", annotated=False), STREET)
    write_pointer(Path("data/street/root"), Location(str(Path("mine").absolute())))
    assert "mine: the same as the input" in refused("--to", "mine")
    assert "mine/out: inside the input" in refused("--to", "mine/out")
    assert CliRunner().invoke(app, [*suggested(run().stdout), "--workers", "1"]).exit_code == 0


def test_predictions_may_be_made_again(project):
    first = run("--form", "overlay")
    assert "000000.png: exists; replace what was made here with --force" in refused("--form", "colours")
    again = run("--form", "colours", "--force")
    assert first.exit_code == again.exit_code == 0
    assert (cv2.imread("out/street_000000/000001.png")[..., ::-1] == STREET.colour(expected()[1][1])).all()
    assert run("--form", "cityscapes", "--to", "official").exit_code == 0
    assert run("--form", "cityscapes", "--to", "official", "--force").exit_code == 0
    assert len(list(Path("official").glob("*.png"))) == 6 and Path("official", MARKER).exists()
    Path("out/street_000000/000001.png").write_bytes(b"edited")
    assert "000001.png: exists and was not made by this command, or has changed since" in refused("--force")


@pytest.mark.parametrize("form", ["ids", "cityscapes"])
def test_a_bad_frame_leaves_no_prediction(project, form):
    rows = expected()[0]
    Path("data/street/root", rows[-1]["image"]).write_bytes(b"damaged")
    assert rows[-1]["image"] in refused("--form", form)


def test_a_frame_too_large_for_the_memory_is_named(project, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("etc.inference._on_device", full)
    assert "images/street_000000_000000.png: out of memory for 64x32 pixels" in refused()


def test_scores_that_are_not_finite_are_not_called_a_lack_of_memory(project, monkeypatch):
    monkeypatch.setattr("etc.inference.as_network_input", lambda *_: torch.full((1, 3, 32, 64), float("nan")))
    assert "images/street_000000_000000.png: the network's scores are not finite numbers" in refused()


@pytest.mark.parametrize("place", [FOLDER, "data/street/frames.parquet"])
@pytest.mark.parametrize("content", ["picture", "array"])
def test_a_picture_or_an_array_in_place_of_an_input_is_named(project, place, content):
    """A PNG, and a ``.npy`` whose header promises more than there is, where a run or a manifest is expected."""
    path = Path("wrong.png" if content == "picture" else "wrong.npy")
    if content == "picture":
        cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
    else:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999), }"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    if place == FOLDER:
        result = CliRunner().invoke(app, ["predict", str(path), "street", "--to", "out", "--split", "train"])
        assert result.exit_code == 1 and str(path) in result.stderr and result.stderr.count("\n") == 1
    else:
        path.replace(place)
        assert place in refused()


def test_a_missing_or_odd_data_set_is_named(project):
    for name in ("nowhere", "../street", "street/root"):
        result = CliRunner().invoke(app, ["predict", FOLDER, name, "--to", "out"])
        assert result.exit_code == 1 and name in result.stderr and result.stderr.count("\n") == 1
