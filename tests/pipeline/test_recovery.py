"""What a killed run leaves behind is cleared; what a living one holds is not."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from etc.core.errors import UserError
from etc.pipeline import recovery

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sleeper(tmp_path):
    """A process that does nothing for a while; its command line says snakemake."""
    script = tmp_path / "snakemake"
    script.write_text("import time\ntime.sleep(60)\n")
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    yield process
    process.kill()
    process.wait()


def sleeping(monkeypatch, nap):
    """Put something in the place of the naps of this module alone: waiting for squeue, subprocess naps too."""
    monkeypatch.setattr(recovery, "time", SimpleNamespace(sleep=nap))


def lock_snakemake(project):
    locks = project / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    return locks


def lock_dvc(project, pid, mode="write", command="dvc repro"):
    entry = {"pid": pid, "cmd": command}
    locks = {"write": {"a": entry}, "read": {}} if mode == "write" else {"write": {}, "read": {"a": [entry]}}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(locks))


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_of_a_dead_snakemake_is_removed(project, capsys):
    locks = lock_snakemake(project)
    recovery.release_snakemake()
    assert not locks.exists()
    assert "killed Snakemake run" in capsys.readouterr().err


def test_notes_of_unfinished_jobs_are_left_to_dvc(project):
    notes = project / ".snakemake/incomplete"
    notes.mkdir(parents=True)
    (notes / "ZGF0YQ==").touch()
    recovery.release_snakemake()
    assert not notes.exists()


def test_the_lock_of_a_living_snakemake_stays(project, sleeper):
    locks = lock_snakemake(project)
    recovery.release_snakemake()
    assert any(locks.iterdir())


@pytest.mark.parametrize("mode", ["write", "read"])
def test_a_living_holder_is_named_and_waited_for(project, sleeper, mode, monkeypatch, capsys):
    lock_dvc(project, sleeper.pid, mode)
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            sleeper.kill()
            sleeper.wait()

    sleeping(monkeypatch, nap)
    recovery.wait_for_others()
    assert len(naps) == 3
    assert capsys.readouterr().err.count(str(sleeper.pid)) == 1


def test_dead_holders_are_not_waited_for(project, monkeypatch):
    sleeping(monkeypatch, lambda seconds: pytest.fail("waited for a dead process"))
    lock_dvc(project, dead_pid())
    recovery.wait_for_others()
    lock_dvc(project, os.getpid())
    recovery.wait_for_others()


def test_a_dvc_that_is_between_two_stages_is_waited_for(project, monkeypatch, capsys):
    code = "import time; from dvc.lock import make_lock; lock = make_lock('.dvc/tmp/lock'); lock.lock(); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not recovery.live_holders():
        assert time.monotonic() < end and holder.poll() is None
    naps = []

    def nap(seconds):
        naps.append(seconds)
        holder.kill()
        holder.wait()

    sleeping(monkeypatch, nap)
    recovery.wait_for_others()
    assert len(naps) == 1 and str(holder.pid) in capsys.readouterr().err
    # The file with its id stays.
    assert (project / ".dvc/tmp/lock").exists() and not recovery.live_holders()


def test_a_half_written_lock_file_is_removed(project):
    (project / ".dvc/tmp/rwlock").write_text('{"write": {"a"')
    recovery.wait_for_others()
    assert not (project / ".dvc/tmp/rwlock").exists()


def test_an_archive_without_git_is_told_to_dvc(project):
    recovery.use_without_git()
    assert "no_scm = True" in (project / ".dvc/config.local").read_text()


def test_a_git_repository_is_left_alone(project):
    (project / ".git").mkdir()
    recovery.use_without_git()
    assert not (project / ".dvc/config.local").exists()


def test_a_lock_file_that_is_being_written_is_read_again_and_left_alone(project, sleeper, monkeypatch):
    path = project / ".dvc/tmp/rwlock"
    path.write_text('{"write": {"a"')
    sleeping(monkeypatch, lambda seconds: lock_dvc(project, sleeper.pid))
    assert list(recovery.live_holders()) == [sleeper.pid]
    path.write_text('{"write": {"a"')
    sleeping(monkeypatch, lambda seconds: None)
    assert recovery.live_holders() == {} and path.exists()


@pytest.fixture
def queue(project, tmp_path, monkeypatch):
    """Function that says which jobs squeue lists: number, state, comment and folder of each."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def lists(*jobs):
        lines = "".join(f"{'|'.join(map(str, job))}\n" for job in jobs)
        (folder / "squeue").write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
        (folder / "squeue").chmod(0o755)

    return lists


def test_jobs_that_slurm_has_of_this_folder_are_waited_for(project, queue, monkeypatch, capsys):
    own = ("7", "RUNNING", "rule_train_teacher_wildcards_street_0", project)
    other = ("8", "RUNNING", "rule_train_teacher_wildcards_street_0", project / "bin")
    queue(own, other, ("9", "PENDING", "rule_write_report", project), ("10", "RUNNING", "(null)", project))
    naps = []

    def nap(seconds):
        naps.append(seconds)
        queue(*([own, other] if len(naps) == 1 else [other]))

    sleeping(monkeypatch, nap)
    recovery.tidy()
    text = capsys.readouterr().err
    assert naps == [recovery.SLURM_POLL_SECONDS] * 2
    assert "Waiting for job 7 of Slurm (train_teacher_wildcards_street_0, running)" in text and "`scancel 9`" in text
    assert text.count("Waiting") == 2
    # A snakemake that is itself a job does not wait for itself.
    queue(own)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    recovery.tidy()


def test_without_an_answer_of_slurm_nothing_is_waited_for(project, queue, monkeypatch):
    (project / "bin/squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error' >&2; exit 1\n")
    (project / "bin/squeue").chmod(0o755)
    recovery.wait_for_slurm()


def test_the_lock_of_a_snakemake_on_another_machine_is_not_removed(project, monkeypatch):
    recovery.tidy()
    locks = lock_snakemake(project)
    monkeypatch.setattr(recovery.socket, "gethostname", lambda: "elsewhere")
    with pytest.raises(UserError, match=f"started on {HERE} works in this folder.* delete"):
        recovery.tidy()
    assert any(locks.iterdir())
    shutil.rmtree(locks)
    recovery.tidy()


def test_processes_of_another_machine_are_not_looked_for_here(project, queue, sleeper, monkeypatch):
    sleeping(monkeypatch, lambda seconds: pytest.fail("waited for a process of another machine"))
    lock_dvc(project, sleeper.pid, command="dvc repro --single-item a (on elsewhere)")
    with pytest.raises(UserError, match="'dvc repro --single-item a .on elsewhere.' works in this folder.* delete"):
        recovery.wait_for_others()
    assert recovery.DVC_LOCKS.exists() and not recovery.live_holders()
    # Slurm knows its jobs, and has no more of this one.
    queue()
    lock_dvc(project, sleeper.pid, command="dvc repro --single-item a (on elsewhere, job 7 of Slurm)")
    recovery.wait_for_others()
    assert not recovery.DVC_LOCKS.exists()


def test_a_job_forgets_its_attempt_on_another_node_when_slurm_has(project, queue, sleeper):
    command = "dvc repro --single-item a"
    for mode in ("write", "read"):
        queue(("7", "RUNNING", "rule_a", project))
        lock_dvc(project, sleeper.pid, mode, f"{command} (on elsewhere, job 7 of Slurm)")
        with pytest.raises(UserError, match="job 7 of Slurm.*still runs"):
            recovery.forget_ended(command)
        queue()
        recovery.forget_ended(command)
        assert json.loads(recovery.DVC_LOCKS.read_text()) == {"write": {}, "read": {}}
    for other in (f"{command}b (on elsewhere, job 7 of Slurm)", f"{command} (on {socket.gethostname()})"):
        lock_dvc(project, sleeper.pid, command=other)
        before = recovery.DVC_LOCKS.read_text()
        recovery.forget_ended(command)
        assert recovery.DVC_LOCKS.read_text() == before


def test_a_job_signs_with_its_machine_and_its_number(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert recovery.signature() == f"(on {socket.gethostname()})"
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert recovery.signature() == f"(on {socket.gethostname()}, job 12 of Slurm)"
