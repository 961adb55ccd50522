"""Judging on the split dev while training: what it finds, and that the training does not notice."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from etc.core.errors import UserError
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import label_set
from etc.evaluation.iou import iou_counts, mean_ratio, tp_fp_fn
from etc.models import registry, weights
from etc.stages import labeller, student
from etc.training import board, loop
from etc.training.dev import DevJudge
from tests.training import toy
from tests.training.children import start, train_and_die
from tests.training.test_resume import WORK, clear, result

DEV = ("street_000001", "street_000002")
FRAMES = Path("data/street/frames.parquet")


def history(name):
    return pq.read_table(f"data/street/history/{name}.parquet").to_pydict()


@pytest.fixture
def judged(project):
    """Of the three clips, two are dev clips with flow to judge by."""
    frames = manifest.read(FRAMES)
    frames.loc[frames["clip"].isin(DEV), "split"] = "dev"
    manifest.write(FRAMES, frames, label_set("street"))
    pseudo = pq.read_table("data/street/pseudo_labels/0/labels.parquet")
    kept = [clip not in DEV for clip in pseudo["clip"].to_pylist()]
    pq.write_table(pseudo.filter(kept), "data/street/pseudo_labels/0/labels.parquet")
    shutil.copytree("data/street/flow/train", "data/street/flow/evaluate")
    return project


@pytest.mark.parametrize("changes", [{}, {"training.accumulate": 2, "training.history_every": 4}])
def test_a_training_that_is_judged_gives_the_same_bits(judged, changes):
    toy.write_params(judged, "student", changes)
    student.run("street", "pspnet18", "etc", 0)
    plain, columns = result(), history("pspnet18-etc-0")
    toy.write_params(judged, "student", changes | {"training.judge_every": 2})
    student.run("street", "pspnet18", "etc", 0)
    assert result()[:2] == plain[:2]
    found = history("pspnet18-etc-0")
    assert {name: found[name] for name in columns} == columns
    assert set(found) - set(columns) == {"dev_miou", "dev_tc"}
    rows = [(value is not None) for value in found["dev_miou"]]
    assert rows == ([True, True] if changes else [False, True] * 3)
    assert [(value is not None) for value in found["dev_tc"]] == rows
    timing = json.loads(Path("data/street/students/pspnet18-etc-0/timing.json").read_text())
    assert [step for step, _ in timing["judged"]] == [1, 3, 5]
    seconds = [at for _, at in timing["judged"]]
    assert 0 < seconds[0] < seconds[1] < seconds[2] <= timing["train_seconds"]


def test_the_last_judgement_is_that_of_the_written_network(judged):
    toy.write_params(judged, "labeller", {"training.judge_every": 4})
    labeller.run("street", 0)
    found = history("labeller-0")
    network, _ = weights.load("data/street/labeller/0")
    miou, tc = DevJudge(Dataset("street"), 4)(network)
    # All numbers are counts of whole pixels, divided once.
    assert found["dev_miou"] == [None, None, None, found["dev_miou"][3], None, miou]
    assert found["dev_tc"][5] == tc and 0 < miou < 100 and 0 < tc <= 100


class Painted(torch.nn.Module):
    """A network that answers class 1 wherever a pixel is bright, 0 elsewhere."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Conv2d(3, 3, 1)

    def forward(self, images):
        from etc.models.output import Output

        bright = (images.mean(1) > 0.5).float()
        rest = images.new_full((len(images), 7, *images.shape[2:]), -1.0)
        scores = torch.cat([1 - bright[:, None], bright[:, None], rest], 1)
        return Output(scores, scores, ())


def test_miou_and_tc_against_plain_loops(judged):
    """The toy moves by whole pixels, so that the warp is a shift."""
    data = Dataset("street")
    confusion, both, either = np.zeros((9, 9), np.int64), np.zeros(2), np.zeros(2)
    dx, dy = toy.MOTION
    for clip in DEV:
        rows = data.frames[data.frames["clip"] == clip].to_dict("records")
        answers = [(data.image(row).mean(2) / 255 > 0.5).astype(int) for row in rows]
        for row, answer in zip(rows, answers, strict=True):
            np.add.at(confusion, (data.label(row), answer), 1)
        for now, after in zip(answers, answers[1:], strict=False):
            now, seen = now[: -dy or None, : -dx or None], after[dy:, dx:]
            for one in (0, 1):
                both[one] += ((now == one) & (seen == one)).sum()
                either[one] += ((now == one) | (seen == one)).sum()
    counts = iou_counts(*tp_fp_fn(confusion))
    miou, tc = DevJudge(data, 3)(Painted().train())
    assert miou == pytest.approx(100 * mean_ratio(counts.intersection, counts.union))
    assert tc == pytest.approx(100 * np.mean(both / either))


def test_neither_weights_nor_buffers_nor_random_numbers_change(judged):
    torch.manual_seed(3)
    network = registry.build("pspnet18", 9, 8).train()
    before, state = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
    DevJudge(Dataset("street"), 4)(network)
    assert all(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_without_flow_or_labels_that_value_is_missing(judged):
    network = registry.build("pspnet18", 9, 8)
    frames = manifest.read(FRAMES)
    manifest.write(FRAMES, frames.assign(label="", label_checksum="", annotated=False), label_set("street"))
    miou, tc = DevJudge(Dataset("street"), 4)(network)
    assert miou is None and tc is not None
    manifest.write(FRAMES, frames, label_set("street"))
    shutil.rmtree("data/street/flow/evaluate")
    miou, tc = DevJudge(Dataset("street"), 4)(network)
    assert miou is not None and tc is None
    frames = frames[(frames["split"] != "dev") | (frames["frame"] == 2)]
    shutil.copytree("data/street/flow/train", "data/street/flow/evaluate")
    manifest.write(FRAMES, frames, label_set("street"))
    miou, tc = DevJudge(Dataset("street"), 4)(network)
    assert miou is not None and tc is None
    manifest.write(FRAMES, frames[frames["split"] != "dev"], label_set("street"))
    toy.write_params(judged, "student", {"training.judge_every": 2})
    with pytest.raises(UserError, match="'dev' has no labelled frame, .*set 'training.judge_every' to null"):
        student.run("street", "pspnet18", "baseline", 0)


def test_flow_of_one_clip_that_is_missing_is_named(judged):
    Path(f"data/street/flow/evaluate/{DEV[1]}.arrow").unlink()
    toy.write_params(judged, "student", {"training.judge_every": 2})
    with pytest.raises(UserError, match=f"{DEV[1]}.arrow"):
        student.run("street", "pspnet18", "baseline", 0)


def test_killed_between_judgements_it_ends_with_the_same_bytes(judged):
    toy.write_params(judged, "student", {"training.judge_every": 1})
    student.run("street", "pspnet18", "etc", 0)
    expected = result()
    clear()
    process = start(train_and_die, "step", 4)
    process.join(60)
    assert [one[0] for one in torch.load(WORK / "checkpoint.pt")["state"]["judged"]] == [0, 1]
    student.run("street", "pspnet18", "etc", 0)
    assert result() == expected


MIOU = (1.0, 3.0, 3.0, 2.0, 2.5, 0.0)  # after each step; the best is that after the second


@pytest.fixture
def scripted(judged, monkeypatch):
    """The six judgements of a training say ``MIOU``; gives the weights that they saw."""
    toy.write_params(judged, "student", {"training.judge_every": 1, "training.keep": "best"})
    seen = []

    def judge(self, network):
        seen.append({name: one.clone() for name, one in network.state_dict().items()})
        return MIOU[len(seen) - 1], None

    monkeypatch.setattr(DevJudge, "__call__", judge)
    return seen


def test_the_best_weights_are_kept(scripted):
    said = student.run("street", "pspnet18", "baseline", 0)
    assert said.endswith("; weights of iteration 2, the best on dev)")
    network, config = weights.load("data/street/students/pspnet18-baseline-0")
    assert config["kept"] == 1
    assert all(torch.equal(one, scripted[1][name]) for name, one in network.state_dict().items())
    assert not all(torch.equal(one, scripted[5][name]) for name, one in network.state_dict().items())


def test_killed_after_the_best_judgement_it_keeps_the_same_weights(scripted, monkeypatch):
    student.run("street", "pspnet18", "baseline", 0)
    written, plain = Path("data/street/students/pspnet18-baseline-0"), loop._step
    expected = (written / weights.WEIGHTS).read_bytes()
    shutil.rmtree(written)
    scripted.clear()
    left = iter([True] * 4)

    def killed(*arguments):
        next(left)
        return plain(*arguments)

    monkeypatch.setattr(loop, "_step", killed)
    with pytest.raises(StopIteration):
        student.run("street", "pspnet18", "baseline", 0)
    monkeypatch.setattr(loop, "_step", plain)
    student.run("street", "pspnet18", "baseline", 0)
    assert (written / weights.WEIGHTS).read_bytes() == expected


def test_without_labels_nothing_is_best(judged, monkeypatch):
    toy.write_params(judged, "student", {"training.judge_every": 2, "training.keep": "best"})
    monkeypatch.setattr(DevJudge, "__call__", lambda self, network: (None, 50.0))
    with pytest.raises(UserError, match="training.keep is 'best', but the split 'dev' has no labelled frame"):
        student.run("street", "pspnet18", "baseline", 0)


def test_the_best_needs_judgements(judged):
    toy.write_params(judged, "student", {"training.keep": "best"})
    with pytest.raises(UserError, match="keep 'best' needs 'judge_every'"):
        student.run("street", "pspnet18", "baseline", 0)


def test_where_tensorboard_is_installed_it_shows_losses_and_judgements(judged, monkeypatch):
    written, steps = [], []

    class Writer:
        def __init__(self, folder, purge_step):
            steps.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((step, name, value))

        def flush(self):
            pass

        def close(self):
            steps.append("closed")

    monkeypatch.setattr(board.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    toy.write_params(judged, "student", {"training.judge_every": 3, "training.history_every": 2})
    student.run("street", "pspnet18", "tl", 0)
    assert steps == [("work/street/pspnet18-tl-0", 0), "closed"]
    rows = {(step, name) for step, name, _ in written}
    assert rows == {(step, name) for step in (1, 3, 5) for name in ("lr", "total", "ce", "tl")} | {
        (step, name) for step in (2, 5) for name in ("dev_miou", "dev_tc")
    }
    judgements = history("pspnet18-tl-0")["dev_miou"]
    assert [value for _, name, value in written if name == "dev_miou"] == judgements[1:]


def test_the_time_of_judging_is_not_training_time(judged, monkeypatch):
    toy.write_params(judged, "student", {"training.judge_every": 3})
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    plain_step, plain_judge = loop.seed_step, DevJudge.__call__

    def passing(seconds, function):
        def slow(*arguments):
            now[0] += seconds
            return function(*arguments)

        return slow

    monkeypatch.setattr(loop, "seed_step", passing(1.0, plain_step))
    monkeypatch.setattr(DevJudge, "__call__", passing(100.0, plain_judge))
    student.run("street", "pspnet18", "baseline", 0)
    timing = json.loads(Path("data/street/students/pspnet18-baseline-0/timing.json").read_text())
    assert timing["train_seconds"] == 6.0 and timing["judged"] == [[2, 3.0], [5, 6.0]]
