"""``etc quick`` prepares a valid short experiment of every data set; tests/scenarios/test_tools.py runs one."""

import shutil
from pathlib import Path

import pytest
import yaml

from etc import quick
from etc.core.errors import UserError
from etc.core.params_file import blocks
from etc.params import experiment, frames, student, teacher

ROOT = Path(__file__).parents[2]
DATASETS = blocks(ROOT / frames.PATH)


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "params", tmp_path / "params")
    (tmp_path / "etc").mkdir()
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def content(path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_gets_a_short_experiment_and_params_stay(project, monkeypatch, dataset):
    before = {path: path.read_bytes() for path in (project / "params").iterdir()}
    folder = quick.prepare(dataset, 50)
    assert {path: path.read_bytes() for path in (project / "params").iterdir()} == before
    monkeypatch.chdir(folder)
    plan = experiment.load()
    assert plan.run == [dataset] and [run.scheme for run in plan.runs()] == ["baseline", "tl"] and plan.seeds == [0]
    assert teacher.load(dataset).training.iterations == student.load(dataset).training.iterations == 50
    assert student.load(dataset).training.warmup <= 10


def test_files_of_the_user_are_found_from_the_other_folder(project):
    edit(project / "params/frames.yaml", "root: null  # its", "root: own/camvid  # its")
    edit(
        project / "params/labeller.yaml",
        "camvid:\n",
        "camvid:\n  checkpoint: data/street/labeller/0\n  checksum: '01234567'\n",
    )
    folder = quick.prepare("camvid", 50)
    assert content(folder / "params/frames.yaml")["camvid"]["root"] == str(project / "own/camvid")
    labeller = content(folder / "params/labeller.yaml")["camvid"]
    assert labeller["checkpoint"] == str(project / "data/street/labeller/0")
    assert labeller["training"]["backbone"] == "installed"


def test_a_block_without_the_scheme_is_named_and_nothing_is_made(project):
    path = project / "params/student.yaml"
    changed = content(path)
    del changed["street"]["schemes"]["tl"]
    changed["street"]["schemes"]["tl_3"] = {"tl": 3.0}
    path.write_text(yaml.safe_dump(changed))
    edit(project / "params/experiment.yaml", "plain: [baseline, tl]", "plain: [baseline, tl_3]")
    with pytest.raises(
        UserError, match="student.yaml: key 'street.schemes': `etc quick` needs the scheme 'tl'; add it"
    ):
        quick.prepare("street", 50)
    assert not (project / "work").exists()
