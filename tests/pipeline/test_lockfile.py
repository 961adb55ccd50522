"""dvc.lock survives a DVC that was killed while writing it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import dumps_yaml, modify_yaml

from etc.pipeline import lockfile

ROOT = Path(__file__).parents[2]
STAGES = "stages:\n  a:\n    cmd: cp input.txt a.txt\n    deps: [input.txt]\n    outs: [a.txt]\n"


def job(stage):
    return run("-m", "etc.pipeline.job", stage)


def dvc(*arguments):
    return run("-m", "dvc", *arguments)


def run(*arguments):
    command = [sys.executable, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC project of one stage that has run; ``dvc.lock`` has a good copy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert dvc("init", "--no-scm", "-q")[0] == 0
    Path("dvc.yaml").write_text(STAGES)
    Path("input.txt").write_text("1")
    assert dvc("repro", "-q")[0] == 0
    lockfile.keep()
    return tmp_path


def test_a_lock_cut_anywhere_is_noticed_or_still_a_lock_of_whole_entries(project):
    whole = lockfile.LOCK.read_bytes()
    for cut in range(len(whole)):
        if lockfile.is_whole(whole[:cut]):
            # Only where the file ends behind whole entries or before the first stage.
            read = yaml.safe_load(whole[:cut])
            assert cut == 0 or whole[:cut].endswith(b"\n")
            assert all(one["md5"] for stage in read["stages"].values() for one in stage.get("deps", []))
            COMPILED_LOCKFILE_SCHEMA(read)


@pytest.mark.parametrize("cut", [0, 3, 20, 40, 60, 75, 100, 150])
def test_dvc_goes_on_without_running_anything_after_a_cut(project, cut):
    whole = lockfile.LOCK.read_bytes()
    assert cut < len(whole)
    lockfile.LOCK.write_bytes(whole[:cut])
    lockfile.restore()
    code, text = dvc("repro")
    assert code == 0 and "Running stage" not in text, text
    assert lockfile.LOCK.read_bytes() == whole


def test_dvc_itself_refuses_an_empty_lock(project):
    lockfile.LOCK.write_bytes(b"")
    assert dvc("repro")[0] != 0


def test_without_a_copy_the_committed_lock_comes_back(project, capsys):
    lockfile.COPY.unlink()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "lock"]):
        subprocess.run([*git, *arguments], check=True)
    whole = lockfile.LOCK.read_bytes()
    lockfile.LOCK.write_bytes(b"")
    lockfile.restore()
    assert lockfile.LOCK.read_bytes() == whole
    assert "git's last commit" in capsys.readouterr().err


def test_without_copy_and_git_the_broken_lock_is_set_aside_and_the_run_cache_fills_a_new_one(project, monkeypatch):
    lockfile.COPY.unlink()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    whole = lockfile.LOCK.read_bytes()
    lockfile.LOCK.write_bytes(whole[:3])
    lockfile.restore()
    assert not lockfile.LOCK.exists() and lockfile.BROKEN.read_bytes() == whole[:3]
    code, text = dvc("repro")
    assert code == 0 and "Running stage" not in text, text


def test_whole_and_merging_locks_are_left_alone(project, capsys):
    for content in (lockfile.LOCK.read_bytes(), b"<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> other\n"):
        lockfile.LOCK.write_bytes(content)
        lockfile.restore()
        assert lockfile.LOCK.read_bytes() == content
    assert capsys.readouterr().err == ""


def test_a_broken_lock_is_never_kept_as_the_good_copy(project):
    good = lockfile.COPY.read_bytes()
    lockfile.LOCK.write_bytes(good[:40])
    lockfile.keep()
    assert lockfile.COPY.read_bytes() == good


def test_the_guard_puts_the_lock_back_after_dvc_was_killed(project):
    """A stage starts the guard; its DVC is killed, and leaves half a lock."""
    start = f"{sys.executable} -c 'from etc.pipeline.lockfile import start_guard; start_guard()'"
    Path("dvc.yaml").write_text(STAGES + f"  b:\n    cmd: {start} && touch begun && sleep 60\n    deps: [input.txt]\n")
    lockfile.COPY.unlink()
    whole = lockfile.LOCK.read_bytes()
    killed = subprocess.Popen([sys.executable, "-m", "dvc", "repro"], start_new_session=True, stdout=subprocess.DEVNULL)
    # Not for the copy, which is there a moment before the guard is.
    wait_for(Path("begun").exists)
    assert lockfile.COPY.read_bytes() == whole
    lockfile.LOCK.write_bytes(whole[:40])
    os.killpg(killed.pid, 9)
    killed.wait()
    wait_for(lambda: lockfile.LOCK.read_bytes() == whole)


def test_outside_of_dvc_no_guard_is_started_and_a_broken_lock_is_put_back(project, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    whole = lockfile.LOCK.read_bytes()
    lockfile.LOCK.write_bytes(b"")
    lockfile.start_guard()
    assert lockfile.LOCK.read_bytes() == whole


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("position", [0, 3, -1, None])
def test_the_entry_of_one_stage_is_written_as_dvc_writes_it(tmp_path, monkeypatch, position):
    monkeypatch.chdir(tmp_path)
    # The first stages of our own: DVC takes its time for all.
    content = b"".join((ROOT / "dvc.lock").read_bytes().splitlines(keepends=True)[:700])
    content = content[: content.rindex(b"\n  student") + 1]
    lockfile.LOCK.write_bytes(content)
    name = "new@street" if position is None else list(lockfile.stages(content))[position]
    entry = {
        "cmd": "a long command: 'with' \"quotes\" " * 9,
        "outs": [{"path": "ä b.txt", "hash": "md5", "md5": "0" * 32}],
    }
    assert lockfile.record(dumps_yaml({"stages": {name: entry}}))
    found = lockfile.LOCK.read_bytes()
    lockfile.LOCK.write_bytes(content)
    with modify_yaml("dvc.lock") as lock:
        lock["stages"].update({name: entry})
    assert found == lockfile.LOCK.read_bytes()
    # What is there already changes no byte.
    assert lockfile.record(dumps_yaml({"stages": {name: entry}})) and lockfile.LOCK.read_bytes() == found


@pytest.mark.parametrize(
    "content", [None, b"", b"schema: '2.0'\ndatasets: []\nstages:\n", b"schema: '2.0'\nstages:\n  a:\nx: 1\n"]
)
def test_a_lock_of_another_form_is_left_to_dvc(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        lockfile.LOCK.write_bytes(content)
    assert not lockfile.record("stages:\n  a:\n    cmd: b\n")
    assert (lockfile.LOCK.read_bytes() if lockfile.LOCK.exists() else None) == content


def test_a_job_leaves_what_dvc_would_and_says_why_it_failed(project):
    whole = lockfile.LOCK.read_bytes()
    Path("input.txt").write_text("2")
    assert job("a") == (0, "Running stage 'a':\n> cp input.txt a.txt\n")
    assert job("a") == (0, "Stage 'a' didn't change, skipping\n")
    made = lockfile.LOCK.read_bytes()
    assert made != whole and dvc("status")[1] == "Data and pipelines are up to date.\n"
    Path("a.txt").unlink()
    assert "Stage 'a' is cached - skipping run" in job("a")[1] and Path("a.txt").read_text() == "2"
    assert dvc("repro", "--force", "-q")[0] == 0 and lockfile.LOCK.read_bytes() == made
    Path("dvc.yaml").write_text(STAGES.replace("cmd: cp", "meta: {rule: copy}\n    cmd: kill -9 $$; cp"))
    code, text = job("a")
    assert code == 1 and "ERROR: failed to reproduce 'a': failed to run: kill -9" in text, text
    assert "error: a was killed" in text and "`mem_mb` for rule copy" in text and "Traceback" not in text, text
    assert lockfile.LOCK.read_bytes() == made


def test_jobs_at_once_lose_no_entry(project):
    names = [f"s{number}" for number in range(6)]
    stages = "".join(f"  {name}:\n    cmd: echo {name} > {name}.txt\n    outs: [{name}.txt]\n" for name in names)
    Path("dvc.yaml").write_text(STAGES + stages)
    jobs = [subprocess.Popen([sys.executable, "-m", "etc.pipeline.job", name]) for name in names]
    assert [one.wait(120) for one in jobs] == [0] * 6
    assert dvc("status")[1] == "Data and pipelines are up to date.\n"
