"""A trained network in place of a training: for data without labels."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from etc.core.errors import UserError
from etc.core.files import sha256
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import CITYSCAPES
from etc.models import registry, weights
from etc.stages import labeller, pretrain, pseudo_labels, student, teacher
from tests.training import toy


@pytest.fixture
def project(tmp_path, monkeypatch):
    toy.make(tmp_path, clips=2, frames=5)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    config = {"architecture": "pspnet18", "width": 8, "classes": 9, "class_names": list(names())}
    weights.save("given", registry.build("pspnet18", 9, 8), config)
    yield tmp_path
    torch.use_deterministic_algorithms(False)


def names():
    return Dataset("street").label_set.names


def give(project, stage, checkpoint="given", checksum=None):
    checksum = checksum or sha256(Path("given") / weights.WEIGHTS)[:12]
    toy.write_params(project, stage, {})
    path = project / "params" / f"{stage}.yaml"
    text = path.read_text() + f"  checkpoint: {checkpoint}\n  checksum: '{checksum}'\n"
    path.write_text(text)


def test_a_trained_network_is_copied_in_place_of_a_training(project):
    give(project, "labeller")
    give(project, "pretrain")
    assert "taken from given" in labeller.run("street", 0)
    assert "taken from given" in pretrain.run("street", "pspnet18", 0)
    for place in ("labeller/0", "pretrained/pspnet18-0"):
        folder = Path("data/street") / place
        assert (folder / weights.WEIGHTS).read_bytes() == Path("given", weights.WEIGHTS).read_bytes()
        assert json.loads((folder / "timing.json").read_text())["iterations"] == 0
    assert pd.read_parquet("data/street/history/labeller-0.parquet").empty


def test_where_every_training_frame_has_a_label_there_are_no_pseudo_labels(project):
    give(project, "labeller")
    shutil.copy(toy.ROOT / "params/pseudo_labels.yaml", "params")
    labeller.run("street", 0)
    path = Path("data/street/frames.parquet")
    frames = manifest.read(path)
    manifest.write(path, frames.assign(annotated=frames["split"] == "train"), manifest.read_label_set(path))
    assert "no pseudo-labels in data/street/pseudo_labels/0: every training frame has a label" in pseudo_labels.run(
        "street", 0
    )
    assert pd.read_parquet("data/street/pseudo_labels/0/labels.parquet").empty
    audit = pd.read_csv("data/street/pseudo_labels/0/audit.csv")
    assert audit["predicted_pixels"].sum() == 0 and audit["kept_share"].isna().all()
    with pytest.raises(UserError, match=r"no pseudo-labels, but 'sampling.pseudo_share' is 0\.5"):
        teacher.run("street", 0)


def test_without_any_label_everything_but_accuracy_is_there(project):
    path = Path("data/street/frames.parquet")
    frames = manifest.read(path).assign(label="", label_checksum="", annotated=False)
    manifest.write(path, frames, manifest.read_label_set(path))
    shutil.rmtree("data/street/root/labels")
    shutil.rmtree("data/street/pseudo_labels")
    give(project, "labeller")
    give(project, "pretrain")
    shutil.copy(toy.ROOT / "params/pseudo_labels.yaml", "params")
    everything = {"sampling.pseudo_share": 1.0, "start": "labeller"}
    toy.write_params(project, "teacher", everything)
    toy.write_params(project, "student", everything | {"start": "pretrained"})
    labeller.run("street", 0)
    pretrain.run("street", "pspnet18", 0)
    pseudo_labels.run("street", 0)
    audit = pd.read_csv("data/street/pseudo_labels/0/audit.csv")
    assert audit["accuracy_kept"].isna().all() and audit["kept_pixels"].sum() > 0
    teacher.run("street", 0)
    assert "6 iterations" in student.run("street", "pspnet18", "etc", 0)


@pytest.mark.parametrize(
    ("checkpoint", "checksum", "message"),
    [
        ("nowhere", None, "nowhere/weights.safetensors: no such file"),
        ("given", "0123456789ab", "its SHA-256 begins .* not 0123456789ab"),
    ],
)
def test_a_network_that_is_missing_or_another_is_refused(project, checkpoint, checksum, message):
    give(project, "labeller", checkpoint, checksum)
    with pytest.raises(UserError, match=message):
        labeller.run("street", 0)
    assert not Path("data/street/labeller").exists()


def test_a_network_of_other_classes_is_refused(project):
    give(project, "labeller")
    path = Path("data/street/frames.parquet")
    manifest.write(path, manifest.read(path), CITYSCAPES)
    with pytest.raises(UserError, match="trained on the classes road, .* the data set 'street' has road, sidewalk"):
        labeller.run("street", 0)


def test_a_checkpoint_needs_its_checksum(project):
    give(project, "labeller", checksum="null")
    path = project / "params/labeller.yaml"
    path.write_text(path.read_text().replace("checksum: 'null'", "checksum: null"))
    with pytest.raises(UserError, match="a checkpoint needs 'checksum': sha256sum given/weights.safetensors"):
        labeller.run("street", 0)
