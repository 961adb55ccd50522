"""kill -9 in the middle of a student: either tool goes on from the checkpoint and ends with the same files."""

import signal
import time

import psutil
import pytest

from tests.scenarios.project import Project, kill_group, wait_for

# The toy project trains this run longest (iterations_factor), so that it can be killed in the middle.
RUN = "pspnet18-tl-0"


def change_the_run(project):
    project.change("student.yaml", "street.schemes.tl", {"tl": 2.0})


def start_training(project, command):
    """Start a tool and wait until the student has written a checkpoint."""
    process = project.start(command)
    checkpoint = project.folder / "work" / "street" / RUN / "checkpoint.pt"
    wait_for(checkpoint.exists)
    assert process.poll() is None, "it ended before it could be killed"
    return process


@pytest.fixture(scope="module")
def expected(built, once):
    """The files of an uninterrupted run."""

    def run(folder):
        project = built.copy(folder)
        change_the_run(project)
        project.snakemake()

    return Project(once("uninterrupted", run)).contents()


@pytest.mark.parametrize("killed", ["snakemake --cores 1", "dvc repro"])
@pytest.mark.parametrize("resumed", ["snakemake", "dvc"])
def test_a_killed_run_is_resumed_by_either_tool(project, expected, killed, resumed):
    change_the_run(project)
    process = start_training(project, killed)
    kill_group(process)
    result = project.tool(resumed)
    assert f"student@street-{RUN}" in result.ran
    assert f"work/street/{RUN}: resumes after" in result.text, result.text
    project.assert_settled()
    assert project.contents() == expected


def test_jobs_that_outlive_a_killed_snakemake_are_waited_for(project, expected):
    change_the_run(project)
    process = start_training(project, "snakemake --cores 1")
    jobs = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(job.is_running() for job in jobs)
    result = project.snakemake()
    assert "Waiting for process" in result.text
    project.assert_settled()
    assert project.contents() == expected
    assert not any(job.is_running() and job.status() != psutil.STATUS_ZOMBIE for job in jobs)


def test_a_second_snakemake_does_not_break_the_lock_of_a_living_one(project):
    change_the_run(project)
    process = start_training(project, "snakemake --cores 1")
    try:
        # The second one waits for the stage that is being trained, and must not remove the first one's lock.
        second = project.start("snakemake --cores 1")
        time.sleep(3)
        assert any((project.folder / ".snakemake/locks").iterdir())
        kill_group(second)
    finally:
        kill_group(process)
