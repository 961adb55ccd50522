"""What `dvc repro` alone does with wrong parameters: the check runs first, and nothing else does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """The pipeline with its parameters and code, without git; nothing has run."""
    for name in ("etc", "params"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    # The command, whether or not it is installed; with this folder's code.
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/etc"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m etc "$@"\n')
    command.chmod(0o755)
    return tmp_path


def dvc(project, *arguments):
    path = os.pathsep.join([str(project / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def edit(project, name, old, new):
    path = project / "params" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("experiment.yaml", "run: [street]", 'run: ["street;touch pwned"]', "'run.0' = 'street;touch pwned': use only"),
        (
            "experiment.yaml",
            "[baseline, tl]",
            '["$(touch pwned)"]',
            "'plain.0' = '$(touch pwned)': use only",
        ),
        ("teacher.yaml", "    tl: 3.0", "    tl: 3.0\n    seed: 1", "'street.seed' = 1 is unknown; allowed here"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_of_them_runs(project, name, old, new, message):
    edit(project, name, old, new)
    code, text = dvc(project, "repro")
    assert code != 0 and message in text, text
    assert "Running stage 'check@params'" in text and text.count("Running stage") == 1
    assert not list(project.rglob("pwned"))


def test_every_stage_waits_for_the_check():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outputs = {name: str([*stage["outs"], *stage.get("plots", ())]) for name, stage in stages.items()}
    waiting = {"check"}
    for _ in stages:
        for name, stage in stages.items():
            if any(
                dep in outputs[other] for dep in stage["deps"] for other in waiting - {name} if dep.startswith("data")
            ):
                waiting.add(name)
            if "data/params.checked" in stage["deps"]:
                waiting.add(name)
    assert waiting == set(stages)
    assert "item" not in stages["check"]["cmd"].replace("${item.folder}", "")
    assert stages["check"]["matrix"] == {"folder": ["params"]}
