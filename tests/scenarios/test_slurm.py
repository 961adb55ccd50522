"""The pipeline as jobs of a real Slurm: several at once, one killed, and the bytes are those of a run without it."""

import dataclasses
import subprocess
import time

import pytest

from tests.scenarios import slurm
from tests.scenarios.project import Project

JOBS = 8
COMMAND = (
    f"snakemake --profile profiles/slurm --config gpus=0 --jobs {JOBS} --slurm-init-seconds-before-status-checks 1 "
    "--seconds-between-status-checks 1"
)
pytest.importorskip("snakemake_executor_plugin_slurm")
pytestmark = pytest.mark.skipif(bool(slurm.missing()), reason=f"needs {', '.join(slurm.missing())}")


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    with slurm.cluster(tmp_path / "slurm", JOBS) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def running() -> dict[str, str]:
    """The comment of each running job, which names its rule, by its number."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%i|%k"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return dict(line.split("|", 1) for line in lines)


def test_jobs_run_at_once_and_one_that_is_killed_goes_on(tmp_path, nodes, built):
    project = Project.toy(tmp_path / "project")
    (project.folder / "work").mkdir(exist_ok=True)
    run = project.start(COMMAND)
    most, killed = 0, ""
    while run.poll() is None:
        jobs = running()
        most = max(most, len(jobs))
        if not killed and (project.folder / "work/street/pspnet18-tl-0/checkpoint.pt").exists():
            killed = next((number for number, about in jobs.items() if "train_student" in about), "")
            if killed:
                subprocess.run(["scancel", "--signal=KILL", "--full", killed], check=True)
        time.sleep(0.2)
    text = project.printed()
    assert run.returncode == 0, text
    assert killed and "resuming after" in text + logs(project), text
    assert most >= 3 and "LockError" not in text + logs(project)
    assert project.contents() == built.contents()
    project.assert_settled()


def logs(project):
    return "".join(path.read_text(errors="replace") for path in (project.folder / "logs").rglob("*.log"))


def test_a_partition_that_does_not_exist_is_named_and_the_next_run_goes_on(nodes, project):
    project.change("report.yaml", "street.plots.smoothing", 5)
    project = dataclasses.replace(project, server="")  # in a process of its own, as users have it
    wrong = project.run(f"{COMMAND} --default-resources slurm_partition=nowhere --retries 0", check=False)
    assert wrong.code and "invalid partition" in wrong.text.lower(), wrong.text
    project.run(COMMAND)
    project.assert_settled()
