"""kill -9 in the middle of a student: either tool goes on from the checkpoint and ends with the same files."""

import signal
import time

import psutil
import pytest

from tests.scenarios.project import kill_group, wait_for

RUN = "pspnet18-tl-0"
# Long enough to be killed in the middle of it.
ITERATIONS = 60


def checkpoint_of(project):
    return project.folder / "work" / "street" / RUN


def start_training(project, command):
    """Start a tool and wait until the student has written a checkpoint."""
    process = project.start(command)
    folder = checkpoint_of(project)
    wait_for(lambda: folder.is_dir() and any(path.suffix != ".lock" for path in folder.iterdir()))
    assert process.poll() is None, "it ended before it could be killed"
    return process


@pytest.fixture(scope="module")
def expected(built, tmp_path_factory):
    """The files of an uninterrupted run of the longer student."""
    project = built.copy(tmp_path_factory.mktemp("uninterrupted") / "project")
    lengthen(project)
    project.snakemake()
    return project.contents()


def lengthen(project):
    project.change("student.yaml", "street.training.iterations", ITERATIONS)


@pytest.mark.parametrize("killed", ["snakemake --cores 1", "dvc repro"])
@pytest.mark.parametrize("resumed", ["snakemake", "dvc"])
def test_a_killed_run_is_resumed_by_either_tool(project, expected, killed, resumed):
    lengthen(project)
    process = start_training(project, killed)
    kill_group(process)
    result = project.tool(resumed)
    assert f"student@street-{RUN}" in result.ran
    assert "resum" in result.text, result.text
    project.assert_settled()
    assert project.contents() == expected


def test_jobs_that_outlive_a_killed_snakemake_are_waited_for(project, expected):
    lengthen(project)
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
    lengthen(project)
    process = start_training(project, "snakemake --cores 1")
    try:
        # The second one waits for the stage that is being trained, and must not remove the first one's lock.
        second = project.start("snakemake --cores 1")
        time.sleep(3)
        assert any((project.folder / ".snakemake/locks").iterdir())
        kill_group(second)
    finally:
        kill_group(process)
