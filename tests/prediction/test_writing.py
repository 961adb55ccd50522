"""``etc predict``: one PNG a frame, in every form."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from etc.cli import app
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.inference import fused, predict
from etc.models import registry, weights
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
