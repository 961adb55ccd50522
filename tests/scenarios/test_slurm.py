"""The pipeline as jobs of a real Slurm: several at once, some stopped, and the bytes are those of a run without it."""

import dataclasses
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.scenarios import slurm

JOBS = 8
COMMAND = (
    f"snakemake --profile profiles/slurm --config gpus=0 --jobs {JOBS} --slurm-init-seconds-before-status-checks 5"
)
# Made again, with the report that follows them: five jobs that wait for nothing, then three.
MADE_AGAIN = ("student", "evaluate")
# The signals are those of memory that is full, and of a time limit.
STOPPED = {("train_student", "pspnet18-tl-0"): "KILL", ("distil_student", "pspnet18-etc-0"): "TERM"}
pytestmark = pytest.mark.skipif(bool(slurm.missing()), reason=f"needs {', '.join(slurm.missing())}")


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    with slurm.cluster(tmp_path / "slurm", JOBS) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def lose_students(folder: Path) -> None:
    """Remove what the students' stages have made, also from DVC's cache, from which it would come back."""
    shutil.rmtree(folder / ".dvc/cache/runs")
    for name, stage in yaml.safe_load((folder / "dvc.lock").read_text())["stages"].items():
        for out in stage["outs"] if name.startswith(MADE_AGAIN) else ():
            (folder / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
            path = folder / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def running() -> dict[str, str]:
    """What each running job does, as Snakemake tells Slurm, by its number."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%i|%k"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return dict(line.split("|", 1) for line in lines)


def test_jobs_at_once_stopped_and_killed_make_the_bytes_of_a_local_run(nodes, project, built):
    project = dataclasses.replace(project, server="", packages=slurm.PLUGIN)  # processes of their own, as users have it
    lose_students(project.folder)
    wrong = project.run(f"{COMMAND} --default-resources slurm_partition=nowhere --retries 0", check=False)
    assert wrong.code and "invalid partition specified: nowhere" in wrong.text, wrong.text
    assert project.contents("results") == built.contents("results")
    run = project.start(COMMAND)
    most, left = 0, dict(STOPPED)
    while run.poll() is None:
        jobs = running()
        most = max(most, len(jobs))
        for rule, training in list(left):
            number = next((number for number, about in jobs.items() if about.startswith(f"rule_{rule}_")), None)
            if number and (project.folder / "work/street" / training / "checkpoint.pt").exists():
                signal = left.pop((rule, training))
                subprocess.run(["scancel", f"--signal={signal}", "--full", number], check=True)
        time.sleep(0.2)
    text = project.printed()
    assert run.returncode == 0, text
    assert not left and text.count("Trying to restart job") >= len(STOPPED), text
    assert logs(project).count("resuming after") == len(STOPPED), text + logs(project)
    assert most >= 4 and "LockError" not in text + logs(project)
    assert project.contents() == built.contents()
    assert "Nothing to be done" in project.snakemake().text


def logs(project) -> str:
    return "".join(path.read_text(errors="replace") for path in (project.folder / "logs").rglob("*.log"))
