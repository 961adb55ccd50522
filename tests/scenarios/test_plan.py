"""``etc plan`` beside a run: what it says a stage takes is what the stage takes."""

import json

from tests.scenarios.project import TOY, Project

# Large enough for the work to be more than its beginning.
LARGER = {
    **TOY,
    "frames.yaml": {
        "street.height": 64,
        "street.width": 128,
        "street.clips": {"train": 4, "dev": 2, "test": 2},
        "street.frames_per_clip": 8,
        "street.annotated": 2,
    },
    **{name: {"street.training.iterations": 40} for name in ("labeller.yaml", "pretrain.yaml", "teacher.yaml")},
    "student.yaml": {**TOY["student.yaml"], "street.training.iterations": 40, "street.iterations_factor": {}},
}
# Measures, then runs every stage in order, in one process: starting stages is not compared. Prints processor seconds.
SCRIPT = """
import json, shlex, time
import networkx
from dvc.repo import Repo
from typer.testing import CliRunner
from etc import duration, plan, trial
from etc.cli import app
from etc.commands import plan as command
from etc.pipeline import graph

duration.SECONDS = trial.SECONDS = 0.3
records = {one["name"]: one for one in (*trial.measured("street"), *duration.measured("street"))}
known = graph.load()
work = command._work("street", known, command._trainings("street"), records["counts"]["counts"])
rates = {name: one["seconds"] for name, one in records.items() if "seconds" in one}
costs = plan.costs(work, rates | {"dvc": 0.0, "light": 0.0, "stage": 0.0})
commands = {stage.addressing: stage.cmd for stage in Repo().index.stages}
order = networkx.DiGraph([(before, name) for name, needed in known.predecessors.items() for before in needed])
taken = {}
for name in networkx.topological_sort(order):
    here = ["--workers", "1"] if name.startswith(("frames", "flow")) else []
    start = time.process_time()
    result = CliRunner().invoke(app, [*shlex.split(commands[name].partition("&&")[0])[1:], *here])
    assert result.exit_code == 0, (name, result.output, result.stderr)
    taken[name] = time.process_time() - start
planned = {name: seconds * work[name].threads for name, seconds in costs.seconds.items()}
print(json.dumps([planned, taken, costs.unknown, rates]))
"""


def test_the_plan_is_what_a_run_takes(tmp_path):
    project = Project.toy(tmp_path / "project", changes=LARGER)
    (project.folder / "compare.py").write_text(SCRIPT)
    planned, taken, unknown, rates = json.loads(project.run("python compare.py").text.splitlines()[-1])
    assert not unknown and set(taken) == set(planned)
    # What starting a stage takes is not nothing, and that of DVC neither.
    assert 0.2 < rates["light"] < rates["stage"] < 60 and 0.2 < rates["dvc"] < 60
    told = {name: f"{planned[name]:.2f} for {taken[name]:.2f}" for name in taken}
    assert 0.75 < sum(planned.values()) / sum(taken.values()) < 1.25, (told, rates)
