"""``etc plan``: what a whole run of a data set costs here, before it starts."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etc.commands.arguments import CORES, Dataset
from etc.commands.project import memory, verdict, whereabouts
from etc.commands.run import run
from etc.core.errors import UserError
from etc.doctor import Finding, text

if TYPE_CHECKING:
    from etc import plan as planning
    from etc.duration import Training
    from etc.pipeline.graph import Graph

# Rates that are not measured by then are left out.
TIMEOUT = 600.0  # seconds


def plan(
    dataset: Dataset,
    cores: Annotated[int, typer.Option(min=1, help="Of the run, as for snakemake --cores.")] = CORES,
) -> None:
    """Say what a whole run costs here: hours, disk, memory.

    Measures a few steps and frames of each kind of work in a temporary folder, a minute or two, and extrapolates to
    all stages of the data set, made or not. Changes nothing. Exits with 1 when something does not fit; what to change
    is said last.
    """
    run(lambda: _plan(dataset, cores))


def _plan(dataset: str, cores: int) -> None:
    from etc.params.check import check_all

    runs = check_all().run
    if dataset not in runs:
        raise UserError(
            f"params/experiment.yaml: runs {', '.join(runs)}, not {dataset}; run: etc adopt {dataset} --run"
        )
    where = whereabouts(dataset, runs=True)
    if not where.found:
        raise UserError(f"data set '{dataset}' is not found: {where.remedy}")
    graph = verdict()
    if isinstance(graph, Finding):
        raise UserError("; ".join(graph.wrong) or f"{graph.what} {graph.found}: wait for its end")
    findings = list(estimate(dataset, graph, cores))
    print(text(findings, min(120, shutil.get_terminal_size().columns), "It fits."))
    if any(one.wrong for one in findings):
        raise SystemExit(1)


def estimate(dataset: str, graph: "Graph", cores: int) -> Iterator[Finding]:
    """The lines of the plan.

    Args:
        dataset: one of those that params/experiment.yaml runs; the parameters are right.
        graph: DVC's verdict.
        cores: of the run.

    Raises:
        UserError: the data set is not found, or nothing could be measured.
    """
    from etc import plan as planning

    records = measure(dataset)
    known = _trainings(dataset)
    counts = records["counts"]["counts"]
    work = _work(dataset, graph, known, counts)
    rates = {name: one["seconds"] for name, one in records.items() if "seconds" in one}
    import torch

    gpus = torch.cuda.device_count()
    yield Finding("run", f"{dataset}: {counts['frames']} frames, {len(work)} stages, {len(known)} trainings")
    found = planning.costs(work, rates)
    due = [name for name in graph.due if name in work]
    yield from planning.time_of(work, found, graph.predecessors, due, cores, gpus)
    sizes = _sizes(dataset, records, counts, known)
    yield planning.disk(sizes, _copies(), shutil.disk_usage(os.curdir).free)
    yield planning.memory(_largest(dataset, records, counts, known), gpus or cores, memory())


def measure(dataset: str) -> dict[str, dict[str, Any]]:
    """Records of ``etc.duration`` and ``etc.trial`` by name, measured by two processes at once.

    Raises:
        UserError: the data set is not found, or a process failed before it had measured anything.
    """
    print("measuring a few steps and frames of each kind of work ...", file=sys.stderr)
    environment = os.environ | {"ETC_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        started = {}
        for module in ("etc.trial", "etc.duration"):
            out, err = Path(folder, f"{module}.out"), Path(folder, f"{module}.err")
            with out.open("w") as stdout, err.open("w") as stderr:
                command = [sys.executable, "-m", module, dataset]
                process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
            ends.callback(_end, process)
            started[module] = process, out, err
        records = {}
        for module, (process, out, err) in started.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TIMEOUT)
            lines = out.read_text(encoding="utf-8").splitlines()
            found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
            if not found and process.returncode:
                said = err.read_text(encoding="utf-8").strip().splitlines()[-1:]
                raise UserError(
                    said[0].partition("UserError: ")[2] or f"python -m {module} {dataset} failed: {said[0]}"
                )
            records |= {one["name"]: one for one in found}
    return records


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def _trainings(dataset: str) -> "dict[str, Training]":
    from etc.duration import trainings
    from etc.params import experiment

    return trainings(experiment.load().model_copy(update={"run": [dataset]}))


def _work(
    dataset: str, graph: "Graph", known: "Mapping[str, Training]", counts: Mapping[str, int]
) -> "dict[str, planning.Work]":
    """What each stage of the data set does; the check of the parameters is one of them."""
    from etc import plan as planning
    from etc.params import labeller, student, teacher
    from etc.trial import described

    networks = {"labeller": labeller.load(dataset).network, "teacher": teacher.load(dataset).network}
    students = student.load(dataset)
    work = {}
    for family in graph.families:
        resources = family.resources()
        for values in itertools.product(*family.matrix.values()):
            one = dict(zip(family.matrix, values, strict=True))
            if one.get("dataset", dataset) != dataset:
                continue
            stage = family.stage(one)
            if "architecture" in one:
                judged = students.network(one["architecture"])
            else:
                judged = networks.get(one.get("network") or family.name)
            amounts = planning.amounts(
                stage, counts, known.get(stage), one.get("purpose", ""), described(judged) if judged else "", CORES
            )
            work[stage] = planning.Work(amounts, family.threads, "gpu" in resources, family.priority)
    return work


def _sizes(
    dataset: str, records: Mapping[str, Any], counts: Mapping[str, int], known: "Mapping[str, Training]"
) -> dict[str, float]:
    """Bytes in ``data/``."""
    from etc.params import experiment

    def size(name: str) -> float:
        return records.get(name, {}).get("bytes", 0) * counts.get(name, 1)

    return {
        "frames": size("frames"),
        "flow": sum(size(name) for name in counts if name.startswith("flow ")),
        "pseudo-labels": size("pseudo_labels") * len(experiment.load().seeds),
        "networks": sum(records.get(one.kind, {}).get("bytes", 0) for one in known.values()),
    }


def _largest(
    dataset: str, records: Mapping[str, Any], counts: Mapping[str, int], known: "Mapping[str, Training]"
) -> dict[str, float]:
    """Bytes of memory by what was measured; those of a training hold its cache of decoded frames too."""
    from etc.params import check, frames

    size = check.known_size(dataset, frames.load(dataset))
    decoded = counts["frames"] * size[0] * size[1] * 4 if size else float("inf")
    largest = {name: one["memory"] for name, one in records.items() if "memory" in one}
    for one in {one.kind: one for one in known.values()}.values():
        if one.kind in largest:
            machine = one.training.machine
            largest[one.kind] += min(decoded, machine.cache_mb * 1e6) * max(1, machine.workers)
    return largest


def _copies() -> int:
    """How often DVC keeps each file: twice where it copies files from its cache."""
    from dvc.config import Config

    links = Config(dvc_dir=str(Path(".dvc").resolve()))["cache"].get("type") or ["copy"]
    return 1 if {"hardlink", "symlink"} & set(links) else 2
