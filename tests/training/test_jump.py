"""Which series of losses are called a jump, and what a training says about it."""

import numpy as np
import pytest

from etc.stages import student
from etc.training import loop
from etc.training.cross_entropy import SegmentationLoss
from etc.training.jump import JumpWatch
from tests.training import toy

RNG = np.random.default_rng(0)
NOISE = RNG.uniform(0.7, 1.3, 2000)
STEPS = np.arange(2000)
PLAIN = SegmentationLoss.forward


def jumps(losses):
    watch = JumpWatch()
    return [found for found in map(watch, losses) if found is not None]


@pytest.mark.parametrize("start", [20, 41, 150, 700])
@pytest.mark.parametrize("factor", [4.5, 30])
def test_a_jump_that_stays_is_reported_once_with_its_first_step(start, factor):
    losses = NOISE * np.where(start > STEPS, 1.0, factor)
    (found,) = jumps(losses)
    assert found.step == start
    assert found.before == pytest.approx(1, rel=0.1) and found.now == pytest.approx(factor, rel=0.3)
    watch = JumpWatch()
    seen = [place for place, loss in enumerate(losses) if watch(loss)]
    assert len(seen) == 1 and start < seen[0] <= start + 20


@pytest.mark.parametrize(
    "losses",
    [
        NOISE,
        np.where(STEPS == 500, 1e6, NOISE),
        np.where(STEPS % 40 == 0, 50, NOISE),
        NOISE * np.where((STEPS >= 500) & (STEPS < 508), 40, 1),
        NOISE * (0.3 + 4 * np.exp(-STEPS / 60)),
        NOISE * np.where(STEPS < 40, 2.2 - STEPS / 40, 1.2),
        NOISE * (0.8 + 0.8 * np.minimum(STEPS / 20, 1)),
        NOISE * (1 + STEPS / 100),
        NOISE * 2 ** (STEPS / 100),
        NOISE * 2.5 ** (STEPS >= 300),
        -NOISE * np.where(STEPS < 300, 5, 1),
        NOISE[:39] * np.where(STEPS[:39] < 10, 1, 9),
    ],
    ids=[
        "level",
        "one spike",
        "spikes",
        "eight steps",
        "start",
        "warm-up falling",
        "warm-up rising",
        "linear drift",
        "exponential drift",
        "less than three times",
        "below zero",
        "too few steps to compare with",
    ],
)
def test_what_is_no_jump(losses):
    assert jumps(losses) == []


def jumping(monkeypatch, at):
    """Let the cross-entropy be ten times as large from the given call on."""
    calls = []

    def forward(self, *arguments):
        calls.append(1)
        return PLAIN(self, *arguments) * (10.0 if len(calls) > at else 1.0)

    monkeypatch.setattr(SegmentationLoss, "forward", forward)


def test_a_training_says_it_once_with_the_step_and_what_to_set_also_after_a_kill(project, monkeypatch, capsys):
    settings = {"training.iterations": 48, "training.lr": 1e-5, "training.machine.checkpoint_every": 24}
    toy.write_params(project, "student", settings)
    jumping(monkeypatch, at=30)
    said = "street pspnet18-baseline-0: the loss jumped from about "

    plain = loop.seed_step

    def dying(seed, step, *others):
        if step == 26:
            raise RuntimeError("killed")
        plain(seed, step, *others)

    monkeypatch.setattr(loop, "seed_step", dying)
    with pytest.raises(RuntimeError, match="killed"):
        student.run("street", "pspnet18", "baseline", 0)
    assert said not in capsys.readouterr().err
    monkeypatch.setattr(loop, "seed_step", plain)
    jumping(monkeypatch, at=6)  # 24 steps are in the checkpoint
    student.run("street", "pspnet18", "baseline", 0)
    lines = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert len(lines) == 1
    assert "at step 30 and has stayed there: set 'training.clip_gradient' to 1.0" in lines[0]
