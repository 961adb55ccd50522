"""Completion as a shell asks for it, by environment variables, and its installation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "params").mkdir()
    for name in ("frames", "student"):
        shutil.copy(ROOT / f"params/{name}.yaml", tmp_path / "params")
    for name in ("students/pspnet18-etc-0", "teacher/1"):
        (tmp_path / "data/street" / name).mkdir(parents=True)
        (tmp_path / "data/street" / name / "weights.safetensors").touch()
    return tmp_path


def etc(folder, *arguments, **variables):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(folder)} | variables
    command = [sys.executable, "-m", "etc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def completed(folder, line):
    """What bash gets for the last word of a line."""
    words = line.split(" ")
    found = etc(folder, COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _ETC_COMPLETE="complete_bash")
    return found.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("etc pre", ["pretrain", "predict"]),
        ("etc labeller str", ["street", "street_long"]),
        ("etc adopt mine --like cityscapes_", ["cityscapes_small", "cityscapes_lite0"]),
        ("etc student street --scheme sf_p", ["sf_pf", "sf_pf_mf"]),
        ("etc student --scheme baseline camvid --architecture ", ["efficientnet_lite0"]),
        ("etc predict data/street/st", ["data/street/students/pspnet18-etc-0"]),
        ("etc export ", ["data/street/students/pspnet18-etc-0", "data/street/teacher/1"]),
        # Nothing to say: bash goes on with the names of files.
        ("etc student nowhere --scheme ", []),
        ("etc tc --predictions data/", []),
    ],
)
def test_names_of_the_project(project, line, expected):
    assert completed(project, line) == expected


@pytest.mark.parametrize("content", [None, "street", "street: ["])
def test_nothing_outside_of_a_project_or_where_a_file_is_wrong(tmp_path, content):
    if content:
        (tmp_path / "params").mkdir()
        for name in ("frames", "student"):
            (tmp_path / f"params/{name}.yaml").write_text(content)
    assert completed(tmp_path, "etc labeller ") == completed(tmp_path, "etc student street --scheme ") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_it_is_shown_and_installed(tmp_path):
    # Without this variable typer asks which shell has started it.
    shown = etc(tmp_path, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "complete -o default -F _etc_completion etc" in shown
    etc(tmp_path, "--install-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_etc_completion" in (tmp_path / ".bash_completions/etc.sh").read_text()
