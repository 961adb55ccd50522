"""What a killed run leaves behind is cleared; what a living one holds is not."""

import json
import os
import subprocess
import sys
import time

import pytest

from etc.pipeline import recovery


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


def lock_snakemake(project):
    locks = project / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    return locks


def lock_dvc(project, pid, mode="write"):
    entry = {"pid": pid, "cmd": "dvc repro"}
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

    monkeypatch.setattr(recovery.time, "sleep", nap)
    recovery.wait_for_others()
    assert len(naps) == 3
    assert capsys.readouterr().err.count(str(sleeper.pid)) == 1


def test_dead_holders_are_not_waited_for(project, monkeypatch):
    monkeypatch.setattr(recovery.time, "sleep", lambda seconds: pytest.fail("waited for a dead process"))
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

    monkeypatch.setattr(recovery.time, "sleep", nap)
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
    monkeypatch.setattr(recovery.time, "sleep", lambda seconds: lock_dvc(project, sleeper.pid))
    assert list(recovery.live_holders()) == [sleeper.pid]
    path.write_text('{"write": {"a"')
    monkeypatch.setattr(recovery.time, "sleep", lambda seconds: None)
    assert recovery.live_holders() == {} and path.exists()
