"""Frames of others go through the whole chain, where they lie beside the checkout."""

import pandas as pd
import pytest

from tests.real_data import DATA
from tests.scenarios.project import TRAINED, Project

REAL = {"camvid": [32, 48], "cityscapes_small": [32, 64]}  # data set to crop
SHORT = {"training.iterations": 2, "training.batch": 2, "training.warmup": 0}


@pytest.fixture(params=REAL)
def name(request):
    return request.param


@pytest.fixture
def project(name, tmp_path, command_server, monkeypatch):
    if not (DATA / name).is_dir():
        pytest.skip(f"no real frames of {name} here")
    monkeypatch.setenv(f"ETC_ROOT_{name.upper()}", str(DATA / name))
    project = Project.toy(tmp_path / "project", command_server)
    for file in TRAINED:
        changes = SHORT | {"training.augment.crop": REAL[name], "training.augment.scale": [0.2, 0.4]}
        if name == "camvid" and file != "student.yaml":
            changes |= {"training.judge_every": 2}
        for key, value in changes.items():
            project.change(file, f"{name}.{key}", value)
    project.change("pseudo_labels.yaml", f"{name}.scales", [0.5])
    project.change("pseudo_labels.yaml", f"{name}.stride", 10)
    for purpose in ("train", "compare"):
        project.change("flow.yaml", f"{name}.{purpose}.preset", "ultrafast")
    project.change("report.yaml", f"{name}.baseline", "tl")
    project.change("report.yaml", f"{name}.overlay.frames", 2)
    return project


@pytest.mark.scenario
def test_real_frames_go_through_the_chain(project, name):
    before = _state(name)
    if name == "camvid":
        # The environment stands.
        project.run("mkdir .venv && touch .venv/.lock-installed")
        ran = project.run("make camvid CORES=2").ran
    else:
        project.run(f"etc adopt {name} --run")
        ran = project.repro().ran
    assert f"report@{name}" in ran
    assert _state(name) == before
    table = pd.read_csv(project.folder / "results" / name / "tables/schemes.csv")
    assert table["tc_mean"].between(0, 100).all() and table["miou_mean"].between(0, 100).all()
    # What is in DVC's hands says where the frames are, and holds none of them.
    assert set(project.contents(f"data/{name}/root")) == {"external.json"}
    project.assert_settled()
    project.change("report.yaml", f"{name}.confidence", 0.9)
    assert project.snakemake().ran == {f"report@{name}"}
    project.assert_settled()


def _state(name):
    files = (path for path in (DATA / name).rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}
