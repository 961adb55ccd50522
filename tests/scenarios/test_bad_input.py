"""What goes wrong outside the program gives one clear line and exit code 1; the next run goes on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.project import BIN

TOOLS = ("bash", "sh", "env", "tee", "cat", "uname", "head", "tail", "grep", "mkdir", "rm", "ls")


@pytest.fixture
def project(unserved):
    """Real processes: a fork does not wait for the workers of a command that has failed, as Python does at its end."""
    return unserved


@pytest.fixture
def mount(tmp_path):
    """Mount a small file system over a folder; taken away at the end. Needs root."""
    mounted = []

    def over(folder: Path, options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a file system is not allowed here")
        mounted.append(folder)

    yield over
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def assert_one_clear_line(text: str, *words: str) -> None:
    lines = [line for line in text.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], lines[0]
    assert "Traceback" not in text, text


def test_a_full_disk_is_said_and_the_next_run_goes_on(project, mount):
    expected = project.contents("data/street/root")
    shutil.rmtree(project.folder / "work")
    mount(project.folder / "work", "size=300k")
    result = project.run("etc frames street", check=False)
    assert result.code == 1
    assert_one_clear_line(result.text, "disk is full", "work/street/frames")
    # What was there is still there.
    assert project.contents("data/street/root") == expected
    subprocess.run(["mount", "-o", "remount,size=100m", str(project.folder / "work")], check=True)
    project.run("etc frames street")
    assert project.contents("data/street/root") == expected


def test_a_read_only_results_folder_is_said(project, mount):
    copy = project.folder.parent / "results"
    shutil.copytree(project.folder / "results", copy)
    before = project.contents("results")
    mount(project.folder / "results", "size=5m")
    shutil.copytree(copy, project.folder / "results", dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(project.folder / "results")], check=True)
    result = project.run("etc report street", check=False)
    assert result.code == 1
    assert_one_clear_line(result.text, "results/street", "read-only")
    assert project.contents("results") == before
    subprocess.run(["mount", "-o", "remount,rw", str(project.folder / "results")], check=True)
    project.run("etc report street")
    assert project.contents("results") == before


def test_git_is_not_needed_to_run(project, tmp_path):
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name))
    environment = {"HOME": os.environ.get("HOME", "/"), "PATH": f"{BIN}:{folder}", "PYTHONPATH": str(project.folder)}
    project.edit("etc/reporting/plots.py", '"""', '"""Edited. ')
    done = subprocess.run(
        ["bash", "-c", "snakemake --cores 1 && dvc status"],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running stage 'report@street'" in done.stdout
    assert "up to date" in done.stdout


def test_a_deleted_frame_is_named_by_the_stage_that_reads_it(project):
    frame = next((project.folder / "data/street/root/leftImg8bit_sequence/test").rglob("*_leftImg8bit.png"))
    frame.unlink()
    result = project.run("etc evaluate street --scheme tl --seed 0", check=False)
    assert result.code == 1
    assert_one_clear_line(result.text, frame.name, "no such file")


def test_a_damaged_manifest_is_named(project):
    (project.folder / "data/street/frames.parquet").chmod(0o644)
    (project.folder / "data/street/frames.parquet").write_bytes(b"PAR1")
    result = project.run("etc flow street", check=False)
    assert result.code == 1
    assert_one_clear_line(result.text, "data/street/frames.parquet", "run the frames stage again")


def test_a_stage_without_its_input_says_which_one_to_run(project):
    shutil.rmtree(project.folder / "data/street/teacher")
    shutil.rmtree(project.folder / "data/street/students")
    result = project.run("etc student street --scheme etc --seed 0", check=False)
    assert result.code == 1
    assert_one_clear_line(result.text, "data/street/teacher", "teacher")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("etc flow street --purpose test", "unknown purpose 'test'"),
        ("etc student street --scheme ect --seed 0", "no scheme 'ect'"),
        ("etc student street --scheme etc --seed 0 --architecture pspnet19", "'pspnet19'"),
        ("etc frames streets", "'streets'"),
    ],
)
def test_a_wrong_word_on_the_command_line_is_named(project, command, word):
    result = project.run(command, check=False)
    assert result.code == 1
    assert_one_clear_line(result.text, word)
