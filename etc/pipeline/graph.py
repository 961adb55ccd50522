"""The stages of ``dvc.yaml`` as Snakemake sees them.

DVC alone decides what is up to date, by content. Snakemake schedules what DVC calls due, and every job is
``dvc repro --single-item`` (``job.py``), so that neither tool can disagree with the other. The verdict reaches
Snakemake as one marker file a stage in ``work/due/``: newer than any output when the stage is due, dated 1970 when not.
See ``docs/decisions/one-graph-two-tools.md``.
"""

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx
import yaml

from etc.core.files import os_errors_in_one_line, read_json, write_json

MARKERS = Path("work/due")
VERDICT = MARKERS / "graph.json"
# `snakemake --report` shows the pictures and texts that have a caption of their name here, by what they are.
CAPTIONS = Path("workflow/report")
SHOWN = {".png": "pictures", ".md": "tables", ".webp": "moving pictures"}
DEFINITION = Path("dvc.yaml")
# Shell command of every rule; what it prints goes to the terminal and to the log.
COMMAND = "python -m etc.pipeline.job '{params.stage}' 2>&1 | tee {log}"
_ITEM = re.compile(r"\$\{item\.(\w+)\}")  # a value of the matrix, as dvc.yaml writes it


@dataclass(frozen=True)
class Stage:
    """One stage of the resolved graph."""

    name: str
    outputs: tuple[str, ...]
    due: bool
    # Makes the same bytes whenever it succeeds, so that what follows is not due with it.
    steady: bool = False


@dataclass(frozen=True)
class Family:
    """All stages that stem from one matrix of ``dvc.yaml``: what a Snakemake rule needs to know of them."""

    name: str
    graph: "Graph"
    matrix: dict[str, list[str]]
    definition: dict[str, Any]

    @property
    def rule(self) -> str:
        """Name of the Snakemake rule."""
        return self._meta["rule"]

    @property
    def message(self) -> str:
        """What Snakemake prints when a job starts, with wildcards."""
        return _ITEM.sub(r"{wildcards.\1}", self.definition["desc"])

    @property
    def pattern(self) -> str:
        """Name of a stage with wildcards, e.g. ``teacher@{dataset}``."""
        return f"{self.name}@{self._item}"

    @property
    def log(self) -> str:
        """Path of the log, with wildcards: a folder for each command."""
        return f"{self._log}.log"

    @property
    def benchmark(self) -> str:
        """Path of Snakemake's record of time and memory, with wildcards."""
        return f"{self._log}.tsv"

    @property
    def _item(self) -> str:
        return "-".join(f"{{{key}}}" for key in self.matrix)

    @property
    def _log(self) -> str:
        command = self.definition["cmd"].split()[1]
        return f"logs/{command.replace('-', '_')}/{self._item}"

    @property
    def needs(self) -> Callable[[Any], list[str]]:
        """Input function of the rule: the stage's marker and the outputs of the stages before it."""
        return lambda wildcards: self.graph.inputs(self.stage(wildcards))

    @property
    def outputs(self) -> list[str]:
        """Paths with wildcards; a path without a suffix is a folder, one with a caption belongs to the report.

        Snakemake deletes the outputs of a job before it starts. DVC restores them from its cache when the job turns
        out to be needless, but only of a stage whose every output it caches; the others' must stay where they are.
        """
        from snakemake.io import directory, report
        from snakemake.ioflags import update

        entries = [
            next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            for key in ("outs", "metrics", "plots")
            for entry in self.definition.get(key, ())
        ]
        cached = all(options.get("cache", True) for _, options in entries)
        paths = (_ITEM.sub(r"{\1}", path) for path, _ in entries)
        paths = [path if Path(path).suffix else directory(path) for path in paths]
        paths = paths if cached else [update(path) for path in paths]
        captions = {path: (CAPTIONS / Path(path).name).with_suffix(".rst").absolute() for path in paths}
        return [
            report(path, caption=str(caption), category="{dataset}", subcategory=kind, labels={"shows": caption.stem})
            if caption.exists() and (kind := SHOWN.get(Path(path).suffix))
            else path
            for path, caption in captions.items()
        ]

    @property
    def wildcards(self) -> dict[str, str]:
        """A constraint per wildcard: exactly the values of the matrix."""
        return {key: "|".join(map(re.escape, values)) for key, values in self.matrix.items()}

    @property
    def stage(self) -> Callable[[Any], str]:
        """Parameter function of the rule: the name of the stage that a job stands for."""
        return lambda wildcards: self.pattern.format(**wildcards)

    @property
    def threads(self) -> int:
        """Threads that one job keeps busy."""
        return int(self._meta.get("threads", 1))

    @property
    def priority(self) -> int:
        """Jobs with a higher one start first; the others wait for them in the end."""
        return int(self._meta.get("priority", 0))

    def resources(self, gpus: int = 1) -> dict[str, int | Callable[[Any], int]]:
        """Processors, memory in MB, minutes and number of GPUs of one job, for schedulers that ask.

        What ``meta`` gives for several data sets is a function of the wildcards; ``others`` stands for those unnamed.

        Args:
            gpus: for each job that can use one; 0 where there are none.
        """
        asked = {"cpus_per_task": self.threads, "mem_mb": 4000, "runtime": 60}
        found = {key: _of_data_set(self._meta.get(key, value)) for key, value in asked.items()}
        return found | ({"gpu": gpus} if self._meta.get("gpu") and gpus else {})

    @property
    def _meta(self) -> dict[str, Any]:
        return self.definition["meta"]


@dataclass
class Graph:
    """The resolved graph and DVC's verdict on each stage."""

    stages: dict[str, Stage]
    predecessors: dict[str, list[str]]
    definitions: dict[str, dict[str, Any]]
    matrices: dict[str, dict[str, list[str]]]

    @property
    def families(self) -> list[Family]:
        """All stages by what they stem from, in the order of ``dvc.yaml``."""
        return [self.family(name) for name in self.definitions]

    def family(self, name: str) -> Family:
        """The stages that ``dvc.yaml`` defines under ``name``."""
        return Family(name, self, self.matrices[name], self.definitions[name])

    def inputs(self, stage: str) -> list[str]:
        """Snakemake inputs of one stage: its marker, which alone says whether it is due, and what it reads.

        Outputs that are made anew in this run are plain inputs: of what follows a job through ``ancient`` inputs alone
        Snakemake runs nothing, whatever the markers say. The others are ``ancient``: their date says nothing, because
        DVC gives files new dates whenever it links them.
        """
        from snakemake.io import ancient

        inputs = [str(marker(stage))]
        for name in self.predecessors.get(stage, ()):
            before = self.stages[name]
            if not before.due:
                inputs += map(ancient, before.outputs)
            elif self.stages[stage].due:  # always, but behind a steady stage
                inputs += before.outputs
        return inputs

    @property
    def due(self) -> list[str]:
        """Names of the stages that DVC would run, in the order of ``dvc.yaml``."""
        return [stage.name for stage in self.stages.values() if stage.due]

    @cached_property
    def targets(self) -> list[str]:
        """What the pipeline is run for: outputs of the stages that no other stage needs, or always has as input."""
        needed = {name for names in self.predecessors.values() for name in names}
        return [
            path for stage in self.stages.values() if stage.steady or stage.name not in needed for path in stage.outputs
        ]

    def write_markers(self) -> None:
        """Tell Snakemake which stages are due, and the processes of its jobs what the graph is."""
        MARKERS.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        # Before the markers, also on file systems that count seconds. The markers are not later than now: Snakemake
        # deletes the outputs of a job that has a later input.
        latest = now - 2_000_000_000
        for output in (Path(output) for stage in self.stages.values() for output in stage.outputs):
            # Of a folder Snakemake asks the second date.
            for path in (output, output / ".snakemake_timestamp"):
                if path.exists() and path.stat().st_mtime_ns > latest:
                    os.utime(path, ns=(latest, latest))
        for stage in self.stages.values():
            path = marker(stage.name)
            if stage.due:
                # New content as well as a new date: Snakemake looks at the content of small files that are newer.
                path.write_text(f"due at {now}\n")
                os.utime(path, ns=(now, now))
            else:
                path.touch()
                os.utime(path, (0, 0))
        write_json(
            VERDICT,
            {
                "stages": [asdict(stage) for stage in self.stages.values()],
                "predecessors": self.predecessors,
                "matrices": self.matrices,
            },
        )


def _of_data_set(value: int | dict[str, int]) -> int | Callable[[Any], int]:
    if isinstance(value, int):
        return value
    return lambda wildcards: value.get(wildcards.dataset, value["others"])


def marker(stage: str) -> Path:
    """Marker file of a stage."""
    return MARKERS / stage.replace("@", "-")


def load() -> Graph:
    """Ask DVC for the stages, what they need and whether they are due.

    A stage is due when DVC calls it changed, or when one before it is due: a stage before it that turns out
    to make the same bytes costs only the question, since DVC then skips what follows.

    Raises:
        LockError: DVC runs a stage here.
    """
    from dvc.dvcfile import load_file
    from dvc.repo import Repo

    repo = Repo(os.curdir, _wait_for_lock=True)
    with repo.lock:
        index = repo.index
        # Edges of DVC's graph point from a stage to what it depends on.
        graph = index.graph
        changed = {stage.addressing for stage in index.stages if stage.changed()}
        outputs = {stage.addressing: tuple(out.def_path for out in stage.outs) for stage in index.stages}
        steady = {stage.addressing for stage in index.stages if (stage.meta or {}).get("steady")}
        resolved = load_file(repo, str(DEFINITION)).resolver.definitions
    names = networkx.DiGraph()
    names.add_nodes_from(outputs)
    names.add_edges_from((after.addressing, before.addressing) for after, before in graph.edges)
    due = changed | {name for name in outputs if networkx.descendants(names, name) & (changed - steady)}
    return Graph(
        stages={name: Stage(name, paths, name in due, name in steady) for name, paths in outputs.items()},
        predecessors={name: sorted(names.successors(name)) for name in outputs},
        definitions=_definitions(),
        matrices={name: _matrix(getattr(family, "resolved_iterable", {})) for name, family in resolved.items()},
    )


def recall() -> Graph:
    """The graph as :func:`prepare` of the run's main process has left it, verdict included.

    For a process that runs one job of a larger run, as cluster executors start them. It asks nothing of DVC, whose lock
    the job beside it may hold.

    Raises:
        UserError: no run has left one.
    """
    left = read_json(VERDICT)
    stages = [Stage(**one | {"outputs": tuple(one["outputs"])}) for one in left["stages"]]
    definitions = _definitions()
    # JSON is written with sorted keys, and the order of a matrix is that of the values in its stages' names.
    matrices = {
        name: {key: left["matrices"][name][key] for key in one.get("matrix", ())} for name, one in definitions.items()
    }
    return Graph({one.name: one for one in stages}, left["predecessors"], definitions, matrices)


def _definitions() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))["stages"]


def _matrix(values: Mapping[str, Iterable[Any]]) -> dict[str, list[str]]:
    """Values of each matrix key, as DVC writes them into the names of stages."""
    from dvc.parsing.interpolate import to_str

    return {key: [to_str(value) for value in row] for key, row in values.items()}


def search_path() -> str:
    """The PATH for jobs, which call `dvc` and `etc`: those of this Python, also when its folder is not on it."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def prepare() -> Graph:
    """What the Snakefile calls before it defines its rules.

    Checks the parameters, clears what a killed run has left, waits for another run, asks DVC for its verdict and writes
    the markers.

    Raises:
        UserError: a parameter file is wrong, or the folder cannot be written.
    """
    # The processes of jobs, which only recall, do without these.
    from dvc.lock import LockError

    from etc.params.check import check_all
    from etc.pipeline import lockfile, recovery

    os.environ["PATH"] = search_path()
    check_all()
    with os_errors_in_one_line():
        while True:
            recovery.tidy()
            lockfile.restore()
            lockfile.keep()
            # Another run may start a stage at any moment.
            with contextlib.suppress(LockError):
                graph = load()
                graph.write_markers()
                return graph
