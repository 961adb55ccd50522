"""``etc plan``: what it makes of measured rates. tests/scenarios/test_plan.py measures them."""

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from etc import duration, plan, trial, workload
from etc.cli import app
from etc.commands import plan as command
from etc.params import experiment, frames
from etc.pipeline import graph
from etc.plan import Work
from tests.commands.conftest import PLAN, ROOT


def chain(**priority: int) -> tuple[dict[str, float], dict[str, Work], dict[str, list[str]]]:
    """Two stages of 3 and 2 s, which follow one of 1 s, and one of 4 s that follows nothing."""
    seconds = {"a@x": 1.0, "b@x": 3.0, "c@x": 2.0, "d@x": 4.0}
    work = {name: Work({}, priority=priority.get(name[0], 0)) for name in seconds}
    return seconds, work, {"b@x": ["a@x", "made@x"], "c@x": ["a@x"]}


@pytest.mark.parametrize("cores, ends", [(1, 10.0), (2, 6.0), (3, 4.0)])
def test_stages_start_when_cores_are_free_and_what_they_need_is_there(cores, ends):
    assert plan.makespan(*chain(), cores, 0) == ends


def test_priority_decides_who_starts_first():
    seconds, work, before = chain(d=1)
    # d and a, then c behind a on the free core, or b: d ends at 4, b at 4, c at 6.
    assert plan.makespan(seconds, work, before, 2, 0) == 6.0
    assert plan.makespan(seconds, work, before, 1, 0) == 10.0
    late = {"c@x": ["d@x"]}
    assert plan.makespan(*chain(d=1)[:2], late, 1, 0) == 10.0
    assert plan.makespan({"c@x": 2.0, "d@x": 4.0}, work, late, 8, 0) == 6.0


def test_a_gpu_has_one_stage_at_a_time_and_threads_count():
    seconds = {"a@x": 1.0, "b@x": 2.0}
    assert plan.makespan(seconds, dict.fromkeys(seconds, Work({}, gpu=True)), {}, 8, 1) == 3.0
    assert plan.makespan(seconds, dict.fromkeys(seconds, Work({}, gpu=True)), {}, 8, 2) == 2.0
    assert plan.makespan(seconds, dict.fromkeys(seconds, Work({}, threads=2)), {}, 2, 0) == 3.0
    # More threads than there are: Snakemake gives it all.
    assert plan.makespan(seconds, dict.fromkeys(seconds, Work({}, threads=9)), {}, 2, 0) == 3.0


def test_costs_are_amounts_of_known_rates():
    work = {"a@x": Work({"start": 1, "step": 10}, threads=2), "b@x": Work({"start": 1, "flow": 3, "unused": 0})}
    found = plan.costs(work, {"start": 1.0, "step": 0.5})
    assert found == ({"a@x": 3.0}, ["flow"])
    assert plan.costs(work, {"start": 1.0, "step": 0.5, "flow": 2.0}).seconds["b@x"] == 7.0
    lines = plan.time_of(work, found, {}, ["b@x"], 2, 0)
    assert lines[1].found == (
        "without 1 stage: not measured, as it takes too long, does not fit or lacks something: flow"
    )
    assert lines[0].found == "about 3 s with 2 cores busy and nothing beside; 6 s of work: a 100%"
    assert lines[-1].found == "1 of 2 stages"


def test_what_does_not_fit_is_said_with_what_to_change():
    sizes = {"frames": 1e9, "flow": 4e9, "pseudo-labels": 0, "networks": 1e8}
    assert not plan.disk(sizes, 1, 10**10).wrong
    (wrong,) = plan.disk(sizes, 2, 10**10).wrong
    assert wrong.startswith("10.2 GB do not fit into 10 GB: `dvc config cache.type") and "flow: 'scale' 4" in wrong
    largest = {"x teacher": 6e9, "frames": 1e9}
    assert not plan.memory(largest, 2, 16 * 10**9).wrong
    assert plan.memory(largest, 4, 16 * 10**9).wrong == (
        "4 stages at a time do not fit into 16.0 GB: snakemake --cores 2",
    )
    assert plan.memory(largest, 4, 5 * 10**9).wrong[0].startswith("x teacher: 6.0 GB do not fit into 5.0 GB: lower")
    assert plan.memory(largest, 4, None).found.startswith("at most 6.0 GB a stage (x teacher), 24.0 GB for 4")
    (wrong,) = plan.time_of({"student@x": Work({"s": 1})}, plan.Costs({"student@x": 1e6}, []), {}, [], 2, 0)[0].wrong
    assert wrong.startswith("11.6 days is long: a GPU (docs/gpus.md), fewer 'seeds'")


def test_counts_are_those_of_the_stages():
    rows = workload.table(workload.rendered(frames.load("street", ROOT / "params/frames.yaml")))
    assert len(rows) == 1200 and rows["annotated"].sum() == 100
    # Of each split the first frames of one clip.
    assert trial.sample(rows).groupby("split").size().to_dict() == {"dev": 12, "test": 12, "train": 12}


def test_every_stage_of_dvc_yaml_is_known(project):
    shutil.copytree(ROOT / "params", "params", dirs_exist_ok=True)
    known = duration.trainings(experiment.load())
    trained = ("labeller@", "pretrain@", "teacher@", "student@", "student_distilled@", "student_ablation@")
    stages = graph.load()
    assert set(known) == {name for name in stages.stages if name.startswith(trained)}
    assert known["student_ablation@street-pspnet18-baseline_long-0"].iterations == 900
    long, plain, etc = (
        known[f"{family}@street-pspnet18-{scheme}-0"]
        for family, scheme in (
            ("student_ablation", "baseline_long"),
            ("student", "baseline"),
            ("student_distilled", "etc"),
        )
    )
    assert long.kind == plain.kind != etc.kind and plain.teacher is None and etc.teacher.width == 16
    rows = workload.table(workload.rendered(frames.load("street")))
    work = command._work("street", stages, known, workload.counts("street", rows))
    assert set(work) == set(stages.stages)
    assert work["flow@street-train"].amounts["flow train"] == 60 * (22 + 20 + 18)
    assert work["pseudo_labels@street-0"].amounts["pseudo_labels"] == 60 * 3
    assert work["evaluate_network@street-teacher-0"].amounts["evaluate pspnet18 16"] == 16 * 12
    assert work["teacher@street-0"].amounts == {"dvc": 1, "stage": 1, "street teacher": 100, "dev pspnet18 16": 24 * 12}
    assert work["pretrain@street-pspnet18-0"].gpu and work["frames@street"].threads == 2


def test_large_batches_are_measured_in_part(project, monkeypatch):
    one = duration.trainings(experiment.load())["labeller@street-0"]
    taken = []

    def train(objective, teacher, samples, settings, steps, *others):
        taken.append(settings.batch)
        for _ in range(steps):
            objective.after_step()

    ticks = iter(range(100))
    monkeypatch.setattr(duration, "LARGE", 1)
    monkeypatch.setattr(duration, "train", train)
    monkeypatch.setattr(duration, "clock", lambda device, threads: lambda: next(ticks))
    assert duration.step_seconds(one, (32, 64))[0] == one.training.batch / 2 == 2 and taken == [2]


def test_what_cannot_be_planned_is_one_line(project):
    def told(*arguments):
        result = CliRunner().invoke(app, ["plan", *arguments])
        assert result.exit_code == 1
        return result.stderr

    assert "runs street, not camvid; run: etc adopt camvid --run" in told("camvid")
    Path("params/experiment.yaml").write_text(
        yaml.safe_dump(PLAN | {"run": ["camvid"], "architectures": ["efficientnet_lite0"]})
    )
    for stage in ("labeller", "pretrain", "teacher", "student"):
        shutil.copy(ROOT / f"params/{stage}.yaml", "params")
    assert "data set 'camvid' is not found: name its folder by 'root'" in told("camvid")


def test_the_plan_of_a_project(project, monkeypatch):
    rows = workload.table(workload.rendered(frames.load("street")))
    records = {"counts": {"counts": workload.counts("street", rows)}}
    measured = ("dvc", "light", "stage", "frames", "report", "street labeller", "evaluate pspnet18 8")
    records |= {name: {"seconds": 1.0, "bytes": 1000.0, "memory": 10**9} for name in measured}
    monkeypatch.setattr(command, "measure", lambda dataset: records)
    result = CliRunner().invoke(app, ["plan", "street", "--cores", "3"], env={"COLUMNS": "120"})
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0 and "street: 1200 frames, 26 stages, 10 trainings" in text, result.stdout
    assert "with 3 cores busy and nothing beside" in text and "not measured" in text and "flow compare" in text
    assert "frames 0.0012" in text and "3 at a time" in text and "due now 26 of 26 stages" in text
    assert text.endswith("It fits.")
    result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "120"})
    assert "\ntime " in result.stdout and "cores busy and nothing beside" in " ".join(result.stdout.split())
