"""kill -9 in the middle of a student: either tool continues from the checkpoint and ends with the same files."""

import contextlib
import signal

import psutil
import pytest

from tests.scenarios.project import Project, Result, kill_group, wait_for

# The toy project trains this run longest (iterations_factor), so that it can be killed in the middle.
RUN = "pspnet18-tl-0"


def change_the_run(project):
    project.change("student.yaml", "street.schemes.tl", {"tl": 2.0})


def start_training(project, command):
    """Start a tool and wait until the student has written a checkpoint."""
    process = project.start(command)
    checkpoint = project.folder / "work" / "street" / RUN / "checkpoint.pt"
    wait_for(lambda: checkpoint.exists() or process.poll() is not None)
    assert process.poll() is None, project.printed()
    return process


@contextlib.contextmanager
def frozen(jobs):
    """Stop processes for a while, so that they cannot end too early."""
    for job in jobs:
        with contextlib.suppress(psutil.NoSuchProcess):
            job.suspend()
    yield
    for job in jobs:
        with contextlib.suppress(psutil.NoSuchProcess):
            job.resume()


@pytest.fixture(scope="module")
def expected(built, once):
    """The files of an uninterrupted run."""

    def run(folder):
        project = built.copy(folder)
        change_the_run(project)
        project.snakemake()

    return Project(once("uninterrupted", run)).contents()


@pytest.mark.parametrize("resumed", ["snakemake", "dvc"])
@pytest.mark.parametrize("killed", ["snakemake --cores 1", "dvc repro"])
def test_a_killed_run_is_resumed_by_either_tool(project, expected, killed, resumed):
    change_the_run(project)
    process = start_training(project, killed)
    kill_group(process)
    result = project.tool(resumed)
    assert f"student@street-{RUN}" in result.ran
    assert f"work/street/{RUN}: resuming after" in result.text, result.text
    project.assert_settled()
    assert project.contents() == expected


def test_jobs_that_outlive_a_killed_snakemake_are_waited_for(project, expected):
    change_the_run(project)
    process = start_training(project, "snakemake --cores 1")
    jobs = psutil.Process(process.pid).children(recursive=True)
    with frozen(jobs):
        process.send_signal(signal.SIGKILL)
        process.wait()
        again = project.start("snakemake --cores 1", "again.log")
        wait_for(lambda: "Waiting for process" in project.printed("again.log") or again.poll() is not None)
        assert again.poll() is None, project.printed("again.log")
    assert again.wait() == 0, project.printed("again.log")
    assert f"student@street-{RUN}" not in Result(0, project.printed("again.log")).ran
    assert not any(job.is_running() and job.status() != psutil.STATUS_ZOMBIE for job in jobs)
    project.assert_settled()
    assert project.contents() == expected


def test_a_second_snakemake_does_not_break_the_lock_of_a_living_one(project):
    change_the_run(project)
    process = start_training(project, "snakemake --cores 1")
    with frozen(psutil.Process(process.pid).children(recursive=True)):
        # The second one waits for the stage that is being trained, and must not remove the first one's lock.
        second = project.start("snakemake --cores 1", "second.log")
        wait_for(lambda: "Waiting for process" in project.printed("second.log") or second.poll() is not None)
        assert second.poll() is None, project.printed("second.log")
        assert any((project.folder / ".snakemake/locks").iterdir())
        assert "Removed the lock" not in project.printed("second.log")
        kill_group(second)
    assert process.wait() == 0, project.printed()
    project.assert_settled()
