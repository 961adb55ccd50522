"""What the tools themselves cost: seconds of doing nothing, and of a job beyond its command.

    python benchmarks/pipeline_overhead.py

Builds a throw-away copy of the pipeline with all its stages at toy size (some minutes), then prints a Markdown table.
Each figure is the median of several runs.
"""

import argparse
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# The tests are no installed package.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.scenarios.project import TOY, Project

# One more job is due whenever this changes, and no run with a new value can come from the cache.
FILE, KEY = "report.yaml", "street.confidence"
COMMAND, STAGE = "etc report street", "report@street"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3, help="runs per figure")
    parser.add_argument("--small", action="store_true", help="only the few stages of the scenario tests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = build(Path(folder) / "project", options.small)
        stages = len(project.run("dvc stage list --name-only").text.split())
        levels = (0.9 + number / 1e6 for number in itertools.count(1))

        def seconds(command: str, prepare: Callable[[], None] = lambda: None) -> float:
            return statistics.median(timed(project, command, prepare) for _ in range(options.repeat))

        def make_due() -> None:
            project.change(FILE, KEY, next(levels))

        idle = {command: seconds(command) for command in ("snakemake --cores 1", "dvc repro", "dvc status", "etc show")}
        direct = seconds(COMMAND, make_due)
        jobs = {
            command: seconds(command, make_due) - direct
            for command in (f"dvc repro --single-item {STAGE}", "snakemake --cores 1")
        }
    print(f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores; {stages} stages\n")
    print("| what | seconds |\n|---|---|")
    for command, value in idle.items():
        print(f"| `{command}`, nothing to do | {value:.1f} |")
    print(f"| `{COMMAND}`, run directly | {direct:.1f} |")
    for command, value in jobs.items():
        print(f"| the same job by `{command}`: more by | {value:.1f} |")


def build(folder: Path, small: bool) -> Project:
    """A toy pipeline in which everything is up to date."""
    kept = {} if small else {"experiment.yaml": {}, "report.yaml": {}}
    project = Project.toy(folder, changes={**TOY, **kept})
    print(f"building a toy copy in {folder} ...", flush=True)
    project.run(f"snakemake --cores {os.cpu_count()}", timeout=3600)
    return project


def timed(project: Project, command: str, prepare: Callable[[], None]) -> float:
    """Seconds of one run of a command."""
    prepare()
    start = time.perf_counter()
    project.run(command)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
