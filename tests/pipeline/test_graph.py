"""Rules for Snakemake from dvc.yaml: names, wildcards, paths, and what the markers say."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dvc.lock import LockError
from dvc.repo import Repo

from etc.core.errors import UserError
from etc.pipeline import graph as pipeline
from etc.pipeline.graph import COMMAND, Family, Graph, Stage

ROOT = Path(__file__).parents[2]
DEFINITIONS = yaml.safe_load(
    """
frames:
  matrix: {dataset: [street]}
  outs:
    - data/${item.dataset}/root
    - data/${item.dataset}/frames.parquet
  meta: {threads: 2}
student:
  desc: Training seed ${item.seed} on ${item.dataset}
  matrix: {dataset: [street], seed: [0, 1]}
  cmd: etc the-student ${item.dataset} --seed ${item.seed}
  outs:
    - data/${item.dataset}/${item.seed}.bin
    - results/${item.dataset}/${item.seed}.csv: {cache: false}
    - results/${item.dataset}/schemes.csv: {cache: false}
  plots:
    - results/${item.dataset}/schemes.png: {cache: false}
  meta: {rule: train_student}
"""
)


@pytest.fixture
def graph():
    stages = [
        Stage("frames@street", ("data/street/root", "data/street/frames.parquet"), due=False),
        Stage("student@street-0", ("data/street/0.bin", "results/street/0.csv"), due=False),
        Stage("student@street-1", ("data/street/1.bin", "results/street/1.csv"), due=True),
    ]
    return Graph(
        stages={stage.name: stage for stage in stages},
        predecessors={
            "frames@street": [],
            "student@street-0": ["frames@street"],
            "student@street-1": ["frames@street"],
        },
        definitions=DEFINITIONS,
        matrices={"frames": {"dataset": ["street"]}, "student": {"dataset": ["street"], "seed": ["0", "1"]}},
    )


def test_paths_take_their_wildcards_from_the_matrix(graph):
    outputs = graph.family("student").outputs
    assert outputs[:2] == ["data/{dataset}/{seed}.bin", "results/{dataset}/{seed}.csv"]
    # Only the outputs of a stage that DVC caches as a whole may be deleted before a job starts.
    assert all(path.flags.get("update") for path in outputs)
    folder, file = graph.family("frames").outputs
    assert not any(getattr(path, "flags", {}).get("update") for path in (folder, file))
    assert folder.flags.get("directory") and not getattr(file, "flags", {}).get("directory")


def test_a_rule_says_what_dvc_yaml_says(graph):
    student = graph.family("student")
    assert student.rule == "train_student"
    assert student.message == "Training seed {wildcards.seed} on {wildcards.dataset}"
    assert (student.log, student.benchmark) == (
        "logs/the_student/{dataset}-{seed}.log",
        "logs/the_student/{dataset}-{seed}.tsv",
    )
    assert [family.name for family in graph.families] == ["frames", "student"]


def test_the_report_shows_pictures_and_texts_that_have_a_caption(graph, monkeypatch):
    monkeypatch.chdir(ROOT)
    captions = {path: getattr(path, "flags", {}).get("report") for path in graph.family("student").outputs}
    shown = {path: report for path, report in captions.items() if report}
    assert list(shown) == ["results/{dataset}/schemes.png"]
    (report,) = shown.values()
    assert report.caption == str(ROOT / "workflow/report/schemes.rst")
    assert (report.category, report.subcategory, report.labels) == ("{dataset}", "pictures", {"shows": "schemes"})


def test_every_caption_belongs_to_an_output_of_dvc_yaml():
    outputs = (ROOT / "dvc.yaml").read_text()
    for caption in (ROOT / "workflow/report").glob("*.rst"):
        if caption.stem != "workflow":  # what the report begins with
            assert any(f"/{caption.stem}{suffix}" in outputs for suffix in pipeline.SHOWN), caption


def test_wildcards_match_nothing_but_the_values_of_the_matrix(graph):
    constraint = graph.family("student").wildcards["seed"]
    assert [word for word in ("0", "1", "2", "10", "0-x") if re.fullmatch(constraint, word)] == ["0", "1"]


def test_every_stage_asks_a_cluster_for_what_its_data_set_needs():
    definitions = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    asked = {name: Family(name, None, {}, one).resources() for name, one in definitions.items()}

    def of(stage, key, dataset):
        value = asked[stage][key]
        return value(SimpleNamespace(dataset=dataset)) if callable(value) else value

    for stage, resources in asked.items():
        assert {"cpus_per_task", "mem_mb", "runtime"} <= set(resources), stage
        for key in resources:
            street, camvid, cityscapes = (of(stage, key, name) for name in ("street", "camvid", "cityscapes"))
            assert 1 <= street <= camvid <= cityscapes, (stage, key)
    assert of("teacher", "mem_mb", "cityscapes") == of("teacher", "mem_mb", "mine") > of("teacher", "mem_mb", "street")
    assert {name for name, one in asked.items() if "gpu" in one} == {
        name for name in asked if name not in ("check", "frames", "flow", "report")
    }
    assert "gpu" not in Family("teacher", None, {}, definitions["teacher"]).resources(gpus=0)


def test_the_command_runs_one_stage_through_dvc(graph):
    params = SimpleNamespace(stage=graph.family("student").stage({"dataset": "street", "seed": 1}))
    formatted = COMMAND.format(params=params, log="a.log")
    assert "etc.pipeline.job 'student@street-1'" in formatted and formatted.endswith("tee a.log")


def test_inputs_are_the_marker_and_what_the_stages_before_make(graph):
    inputs = graph.family("student").needs({"dataset": "street", "seed": 0})
    assert inputs == ["work/due/student-street-0", "data/street/root", "data/street/frames.parquet"]


def test_dates_of_inputs_say_nothing_unless_they_are_made_in_this_run(graph):
    _, *read = graph.inputs("student@street-1")
    assert len(read) == 2 and all(path.flags.get("ancient") for path in read)
    graph.stages["frames@street"] = Stage("frames@street", graph.stages["frames@street"].outputs, due=True)
    # Behind ancient inputs alone Snakemake would not run what follows a job.
    _, *read = graph.inputs("student@street-1")
    assert len(read) == 2 and not any(getattr(path, "flags", {}).get("ancient") for path in read)


def test_targets_are_what_no_other_stage_needs(graph):
    assert graph.targets == ["data/street/0.bin", "results/street/0.csv", "data/street/1.bin", "results/street/1.csv"]


def test_markers_are_new_only_for_due_stages(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph.write_markers()
    dates = {name: pipeline.marker(name).stat().st_mtime for name in graph.stages}
    assert dates["frames@street"] == dates["student@street-0"] == 0
    assert dates["student@street-1"] > 1e9
    first = pipeline.marker("student@street-1").read_text()
    graph.write_markers()
    # Snakemake compares the content of small files before it believes a date.
    assert pipeline.marker("student@street-1").read_text() != first
    assert graph.due == ["student@street-1"]


def test_outputs_dated_in_the_future_are_dated_now_and_the_marker_of_a_due_stage_is_newer(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "data/street/1.bin"
    output.parent.mkdir(parents=True)
    output.touch()
    in_ten_years = time.time() + 3.2e8
    os.utime(output, (in_ten_years, in_ten_years))
    # An input: Snakemake would delete what is made from it, as older than it.
    folder = tmp_path / "data/street/root"
    folder.mkdir()
    (folder / ".snakemake_timestamp").touch()
    for path in (folder / ".snakemake_timestamp", folder):
        os.utime(path, (in_ten_years, in_ten_years))
    graph.write_markers()
    latest = max(path.stat().st_mtime for path in (output, folder, folder / ".snakemake_timestamp"))
    assert latest <= time.time() and pipeline.marker("student@street-1").stat().st_mtime > latest


def test_values_of_a_matrix_are_those_of_the_definition_whatever_their_names_hold(repository):
    definition = yaml.safe_load((repository / "dvc.yaml").read_text())
    definition["stages"]["third"] = {
        "matrix": {"scheme": ["a-b", "c"], "seed": [0, True]},
        "cmd": "echo ${item.scheme} > ${item.scheme}-${item.seed}.txt",
        "outs": ["${item.scheme}-${item.seed}.txt"],
    }
    (repository / "dvc.yaml").write_text(yaml.safe_dump(definition))
    graph = pipeline.load()
    assert graph.matrices["third"] == {"scheme": ["a-b", "c"], "seed": ["0", "true"]}
    third = graph.family("third")
    assert third.stage({"scheme": "a-b", "seed": "true"}) in graph.due


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DVC project without git: one stage that has run, one that has not."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    stages = {
        "first": {"matrix": {"dataset": ["street"]}, "cmd": "echo 1 > a.txt", "outs": ["a.txt"]},
        "second": {"matrix": {"dataset": ["street"]}, "cmd": "echo 2 > b.txt", "deps": ["a.txt"], "outs": ["b.txt"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    monkeypatch.chdir(tmp_path)
    Repo(".").reproduce("first@street")
    return tmp_path


def test_a_stage_that_makes_the_same_bytes_each_time_makes_no_other_due(repository):
    path = repository / "dvc.yaml"
    definition = yaml.safe_load(path.read_text())
    definition["stages"]["second"]["meta"] = {"steady": True}
    definition["stages"]["third"] = {"cmd": "cp b.txt c.txt", "deps": ["b.txt"], "outs": ["c.txt"]}
    path.write_text(yaml.safe_dump(definition))
    Repo(".").reproduce()
    definition["stages"]["second"]["cmd"] = "echo 2 | tee b.txt"
    path.write_text(yaml.safe_dump(definition))
    graph = pipeline.load()
    assert graph.due == ["second@street"] and graph.stages["second@street"].steady
    # It runs for itself; its new date makes nothing run.
    assert graph.inputs("third") == ["work/due/third"] and graph.targets == ["b.txt", "c.txt"]
    # Without its output, what needs it is due, and waits for it.
    (repository / "b.txt").unlink()
    graph = pipeline.load()
    assert graph.due == ["second@street", "third"] and graph.inputs("third") == ["work/due/third", "b.txt"]


def test_dvc_says_what_is_due_and_the_markers_remember_it(repository):
    graph = pipeline.load()
    assert graph.due == ["second@street"] and graph.predecessors["second@street"] == ["first@street"]
    graph.write_markers()
    # The file of the first stage is damaged while a job runs: the verdict of the run's start still counts.
    (repository / "a.txt").unlink()
    assert pipeline.recall() == graph
    assert pipeline.load().due == ["first@street", "second@street"]


def test_the_recalled_graph_names_its_stages_as_dvc_does(repository):
    path = repository / "dvc.yaml"
    definition = yaml.safe_load(path.read_text())
    definition["stages"]["last"] = {"cmd": "true", "matrix": {"seed": [0], "dataset": ["street"]}}
    path.write_text(yaml.safe_dump(definition, sort_keys=False))
    graph = pipeline.load()
    graph.write_markers()
    assert "last@0-street" in graph.stages
    assert pipeline.recall().family("last").pattern == graph.family("last").pattern == "last@{seed}-{dataset}"


def test_while_a_job_runs_dvc_cannot_be_asked_but_the_verdict_can_be_recalled(repository):
    graph = pipeline.load()
    graph.write_markers()
    holder = {"pid": os.getppid(), "cmd": "dvc repro"}
    (repository / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(repository / "a.txt"): holder}, "read": {}}))
    with pytest.raises(LockError, match=str(os.getppid())):
        pipeline.load()
    assert pipeline.recall() == graph


def test_processes_of_many_jobs_recall_the_graph_at_once_while_dvc_is_locked(repository):
    graph = pipeline.load()
    graph.write_markers()
    code = "from etc.pipeline.graph import recall; print(recall().due)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Repo(".").lock:
        jobs = [
            subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(8)
        ]
        printed = [job.communicate(timeout=60)[0] for job in jobs]
    assert printed == [f"{graph.due}\n"] * 8


def test_recalling_without_a_run_names_the_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="work/due/graph.json"):
        pipeline.recall()
