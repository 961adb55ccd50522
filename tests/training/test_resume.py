"""Killed with SIGKILL at any moment and started again, a training ends with the bytes of one that was left alone."""

import itertools
import json
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from etc.stages import student
from tests.training import toy
from tests.training.children import ARGUMENTS, start, train_and_die

NAME = "pspnet18-etc-0"
WORK = Path("work/street") / NAME


def result():
    folder = Path("data/street/students") / NAME
    paths = [folder / "weights.safetensors", folder / "config.json", Path(f"data/street/history/{NAME}.parquet")]
    return [path.read_bytes() for path in paths]


@pytest.fixture
def expected(project):
    student.run(*ARGUMENTS)
    return result()


def clear():
    for path in (Path("data/street/students") / NAME).iterdir():
        path.unlink()


def test_killed_at_four_moments(expected):
    clear()
    # Step 1, before any checkpoint; the third step after that; inside the second writing; when all is written.
    for words in (("step", 2), ("step", 4), ("checkpoint", 1), ("finish", 1)):
        process = start(train_and_die, *words)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, words
        # The lock of the killed process is free, and what it left half-written is not taken for a checkpoint.
    assert (WORK / "checkpoint.pt").exists()
    clear()
    student.run(*ARGUMENTS)
    assert result() == expected
    assert sorted(path.name for path in WORK.iterdir()) == ["finished.json", "lock"]


def test_killed_from_outside_at_some_moment(expected, project):
    clear()
    process = start(train_and_die, "never", 0)
    while not (WORK / "checkpoint.pt").exists() and process.is_alive():
        time.sleep(0.005)
    process.kill()
    process.join()
    student.run(*ARGUMENTS)
    assert result() == expected


def test_a_resumed_training_repeats_no_step_and_adds_up_its_time(project, monkeypatch):
    toy.write_params(project, "student", {"training.machine.checkpoint_every": 1})
    process = start(train_and_die, "step", 5)
    process.join(60)
    from etc.training import loop

    before = torch.load(WORK / "checkpoint.pt")["state"]["seconds"]
    seen, plain = [], loop.seed_step
    monkeypatch.setattr(loop, "seed_step", lambda *words: (seen.append(words[1]), plain(*words)))
    # A clock that a second passes between any two looks at it, of which there is one a checkpoint.
    monkeypatch.setattr(loop.time, "perf_counter", itertools.count().__next__)
    student.run(*ARGUMENTS)
    assert seen == [4, 5]
    timing = json.loads((Path("data/street/students") / NAME / "timing.json").read_text())
    assert timing["train_seconds"] == pytest.approx(before + 2, abs=0.001)
    assert len(pq.read_table(f"data/street/history/{NAME}.parquet")) == 6


def test_changed_parameter_starts_again(project, capsys):
    process = start(train_and_die, "step", 5)
    process.join(60)
    toy.write_params(project, "student", {"training.lr": 0.005})
    student.run(*ARGUMENTS)
    assert "differs in lr): starting from the beginning" in capsys.readouterr().err
    changed = result()
    clear()
    student.run(*ARGUMENTS)
    assert result() == changed


def test_second_process_takes_the_result_of_the_one_that_it_waited_for(expected):
    clear()
    first = start(train_and_die, "never", 0)
    while (WORK / "lock").read_text().strip() != str(first.pid) and first.is_alive():
        time.sleep(0.005)
    line = student.run(*ARGUMENTS)
    first.join()
    assert "made by the process that this one waited for" in line
    assert result() == expected
