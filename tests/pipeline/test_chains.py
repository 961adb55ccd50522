"""The graph of two seeds: a chain needs nothing of another one, and one more seed leaves their stages alone."""

import re
import shutil
from pathlib import Path

import networkx
import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from etc.pipeline import graph as pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The pipeline with its parameters and code, without git; nothing has run."""
    for name in ("etc", "params"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def declare(seeds):
    path = Path("params/experiment.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"seeds": seeds}))


def seed_of(stage):
    """The seed in the name of a stage; None where it has none."""
    found = re.fullmatch(r".*-(\d+)", stage)
    return int(found[1]) if found else None


def test_a_chain_needs_its_own_stages_and_nothing_of_another(project):
    declare([0, 17])
    graph = pipeline.load()
    before = networkx.DiGraph(graph.predecessors)
    assert {seed_of(stage) for stage in graph.stages} == {None, 0, 17}
    for stage in graph.stages:
        if seed_of(stage) is not None:
            assert {seed_of(other) for other in networkx.descendants(before, stage)} <= {None, seed_of(stage)}, stage
    for seed in (0, 17):
        labeller, labels, teacher = (f"{name}@street-{seed}" for name in ("labeller", "pseudo_labels", "teacher"))
        start = f"pretrain@street-pspnet18-{seed}"
        common = {"frames@street", "flow@street-train", "flow@street-evaluate"}
        needs = {stage: set(names) for stage, names in graph.predecessors.items()}
        assert needs[labels] == {labeller, "frames@street"}
        assert needs[teacher] == {labeller, labels, *common}
        assert needs[f"student@street-pspnet18-tl-{seed}"] == {start, labels, *common}
        assert needs[f"student_distilled@street-pspnet18-etc-{seed}"] == {start, labels, teacher, *common}
        judges = {"frames@street", "flow@street-evaluate", "flow@street-compare"}
        assert needs[f"evaluate_network@street-teacher-{seed}"] == {teacher, *judges}
        assert needs[f"evaluate_network@street-labeller-{seed}"] == {labeller, *judges}
        report = needs["report@street"]
        assert {labels, f"evaluate_network@street-teacher-{seed}", f"evaluate@street-pspnet18-tl-{seed}"} <= report
    assert needs["student_ablation@street-pspnet18-sf-0"] >= {"teacher@street-0", "pretrain@street-pspnet18-0"}
    assert "student_ablation@street-pspnet18-sf-17" not in needs


def definitions():
    """Of each stage its command, its inputs, with the values of parameters, and its outputs."""
    found = {}
    for stage in Repo(".").index.stages:
        inputs = [(dep.def_path, dep.read_params() if isinstance(dep, ParamsDependency) else "") for dep in stage.deps]
        found[stage.addressing] = stage.cmd, inputs, [out.def_path for out in stage.outs]
    return found


def test_one_more_seed_adds_stages_and_changes_none_but_the_report(project):
    declare([0, 1])
    before = definitions()
    declare([0, 1, 5])
    after = definitions()
    # The report has all rows.
    assert {name for name in before if after.get(name) != before[name]} == {"report@street"}
    added = after.keys() - before.keys()
    assert {seed_of(name) for name in added} == {5}
    assert len(added) == len([name for name in before if seed_of(name) == 1])
