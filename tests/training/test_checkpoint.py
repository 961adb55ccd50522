import io
import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from etc.core.errors import UserError
from etc.training.checkpoint import WorkFolder
from etc.training.fingerprint import differing, digest, fingerprint, hash_files
from tests.closure import import_closure
from tests.training.toy import ROOT

ONE = {"lr": "0.1", "code training/loop.py": "aa"}
OTHER = {"lr": "0.2", "code training/loop.py": "aa"}


def folder(path, configuration=ONE):
    work = WorkFolder(path / "work", configuration)
    work.path.mkdir(exist_ok=True)
    work.take_up()
    return work


def test_what_is_saved_is_loaded(tmp_path):
    folder(tmp_path).save({"step": 3, "weights": torch.arange(4.0), "scaler": None})
    state = folder(tmp_path).load()
    assert state["step"] == 3 and torch.equal(state["weights"], torch.arange(4.0))


def test_nothing_saved_gives_none(tmp_path):
    assert folder(tmp_path).load() is None


def test_other_configuration_is_put_aside_and_named(tmp_path, capsys):
    folder(tmp_path).save({"step": 1})
    assert folder(tmp_path, OTHER).load() is None
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "differs in lr" in line and "starting from the beginning" in line
    assert capsys.readouterr().err == ""


def test_a_configuration_that_returns_goes_on(tmp_path, capsys):
    folder(tmp_path).save({"step": 1})
    folder(tmp_path, OTHER).save({"step": 2})
    assert folder(tmp_path).load() == {"step": 1}
    assert "resuming the one of this configuration" in capsys.readouterr().err
    assert folder(tmp_path, OTHER).load() == {"step": 2}


def test_a_configuration_returns_when_the_other_never_saved(tmp_path):
    folder(tmp_path).save({"step": 1})
    assert folder(tmp_path, OTHER).load() is None
    assert folder(tmp_path).load() == {"step": 1}


def zipped(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


UNREADABLE = {
    "empty": lambda content: b"",
    "garbage": lambda content: b"not a checkpoint",
    "truncated": lambda content: content[:500],
    "one bit of a weight": lambda content: content.replace(b"\0\0\0\0\0\0\x80?", b"\0\0\0\0\0\0\x80>", 1),
    "a zip file of something else": lambda content: zipped([1, 2]),
    "no state": lambda content: zipped({"fingerprint": ONE}),
    "another fingerprint": lambda content: zipped({"fingerprint": {1: "2"}, "state": {}}),
    "code": lambda content: zipped({"fingerprint": ONE, "state": {"harm": Path}}),
}


@pytest.mark.parametrize("damage", UNREADABLE)
def test_unreadable_checkpoint_is_named_and_set_aside(tmp_path, capsys, damage):
    work = folder(tmp_path)
    work.save({"step": 1, "weights": torch.arange(1000.0)})
    path = work.path / "checkpoint.pt"
    damaged = UNREADABLE[damage](path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    assert folder(tmp_path).load() is None
    line = capsys.readouterr().err
    assert line.startswith(f"{path} cannot be read (") and line.endswith("set aside as unreadable.pt.\n")
    assert line.count("\n") == 1
    assert (work.path / "unreadable.pt").read_bytes() == damaged


@pytest.mark.filterwarnings("error")
def test_damaged_checkpoints_are_set_aside_or_loaded_as_they_were(tmp_path):
    """Flipped bits and cut ends anywhere in the file; torch alone reads flipped weights without noticing."""
    state = {"step": 1, "weights": torch.arange(50.0)}
    work, rng = folder(tmp_path), np.random.default_rng(0)
    work.save(state)
    path = work.path / "checkpoint.pt"
    content, aside = path.read_bytes(), 0
    for number in range(300):
        damaged, place = bytearray(content), int(rng.integers(len(content)))
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content[:place] if number % 10 == 0 else damaged)
        loaded = folder(tmp_path).load()
        aside += loaded is None
        assert loaded is None or (loaded["step"] == 1 and torch.equal(loaded["weights"], state["weights"]))
    assert aside > 150


@pytest.mark.parametrize("size", [10, 30_000, 60_000, 1_000_000])
def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(tmp_path, size):
    """The limit on the size of a file stands in for the disk; torch's zip writer has an error of its own for it."""
    work = folder(tmp_path)
    work.save({"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        if size == 10:
            work.save({"step": 2, "weights": torch.rand(size)})
        else:
            with pytest.raises(UserError, match=r"checkpoint.pt: the file is larger than .*`ulimit -f` allows"):
                work.save({"step": 2, "weights": torch.rand(size), "more": torch.rand(size)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert work.load()["step"] == (2 if size == 10 else 1)
    assert [path.name for path in work.path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("note", [b"[]", b"{}", b'{"outputs": []}', b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_broken_record_of_the_last_training_counts_as_none(tmp_path, note):
    work = folder(tmp_path)
    (work.path / "finished.json").write_bytes(note)
    assert not work.is_finished()


def test_half_written_files_of_a_killed_process_go(tmp_path):
    work = folder(tmp_path)
    (work.path / ".checkpoint.pt.x1.tmp").write_bytes(b"half")
    work.take_up()
    assert list(work.path.iterdir()) == []


def test_finish_drops_the_checkpoint_and_knows_its_outputs(tmp_path):
    work, output = folder(tmp_path), tmp_path / "weights"
    output.write_bytes(b"result")
    work.save({"step": 1})
    assert not work.is_finished()
    work.finish([output])
    assert work.load() is None
    assert work.is_finished() and not folder(tmp_path, OTHER).is_finished()
    output.write_bytes(b"changed")
    assert not work.is_finished()
    output.unlink()
    assert not work.is_finished()


def hold(path, started, seconds):
    with WorkFolder(path, ONE).locked():
        started.set()
        time.sleep(seconds)


def test_second_process_waits_for_the_first_and_says_so_once(tmp_path, capsys):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    first = context.Process(target=hold, args=(tmp_path / "work", started, 0.5))
    first.start()
    started.wait(10)
    begin = time.monotonic()
    with WorkFolder(tmp_path / "work", ONE).locked() as waited:
        assert waited and time.monotonic() - begin > 0.2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"process {first.pid} is training here" in line
    first.join()
    with WorkFolder(tmp_path / "work", ONE).locked() as waited:
        assert not waited


def test_lock_goes_with_a_killed_process(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    first = context.Process(target=hold, args=(tmp_path / "work", started, 60))
    first.start()
    started.wait(10)
    first.kill()
    first.join()
    with WorkFolder(tmp_path / "work", ONE).locked() as waited:
        assert not waited


def test_fingerprint_names_nested_keys_inputs_and_code():
    params = {"lr": 0.1, "machine": {"threads": 1, "workers": 0, "cache_mb": 5, "checkpoint_every": 9}}
    described = fingerprint(params, {"manifest": "ab"})
    assert {"lr", "machine.threads", "input manifest", "code training/fingerprint.py"} <= set(described)
    assert not {"machine.workers", "machine.cache_mb", "machine.checkpoint_every"} & set(described)
    changed = fingerprint({**params, "machine": {"threads": 2, "workers": 3}}, {"manifest": "cd"})
    assert differing(described, changed) == ["input manifest", "machine.threads"]
    assert digest(described) != digest(changed)


def test_fingerprint_holds_whether_the_settings_are_portable():
    assert fingerprint({}, {})["portable"] == "true"


def test_fingerprint_sees_all_code_that_a_training_runs():
    imported = set().union(*(import_closure(ROOT, f"etc/stages/{stage}.py") for stage in ("teacher", "student")))
    passing_on = ("etc/__init__.py", "etc/params/", "etc/stages/", "etc/core/")
    described = {key.removeprefix("code ") for key in fingerprint({}, {})}
    assert {path.removeprefix("etc/") for path in imported if not path.startswith(passing_on)} <= described


def test_hash_of_files_sees_names_and_contents(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"1")
    assert hash_files([a]) != hash_files([b])
    before = hash_files([a, b])
    b.write_bytes(b"2")
    assert hash_files([a, b]) != before
