"""Jobs at once that do nothing: seconds until all have ended, as Snakemake runs them and as plain DVC does.

    python benchmarks/cluster_jobs.py [--jobs 1 20 100] [--stages 100]

Each job is a process of its own, as on the nodes of a cluster, in a throw-away project of DVC whose stages have as many
entries in dvc.lock as those of this repository. Prints a Markdown table.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Files that each stage reads, as a training here does.
READS = 40
COMMANDS = {
    "python -m etc.pipeline.job": ["-m", "etc.pipeline.job"],
    "dvc repro --single-item": ["-m", "dvc", "--wait-for-lock", "repro", "--single-item"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 20, 100], help="jobs at once")
    parser.add_argument("--stages", type=int, default=100, help="stages that dvc.lock has, at least one for each job")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {max(options.stages, *options.jobs)} stages, load {os.getloadavg()[0]:.0f}\n")
    print("| jobs at once | " + " | ".join(f"`{command}`, s" for command in COMMANDS) + " | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        make(made, max(options.stages, *options.jobs))
        for jobs in options.jobs:
            seconds = [timed(made, Path(folder) / "copy", command, jobs) for command in COMMANDS.values()]
            print(f"| {jobs} | {seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[1] / seconds[0]:.1f} |", flush=True)


def make(folder: Path, stages: int) -> None:
    """A project whose stages have all run."""
    folder.mkdir()
    run(folder, "-m", "dvc", "init", "--no-scm", "-q").check_returncode()
    reads = [f"read/{number}.txt" for number in range(READS)]
    (folder / "read").mkdir()
    for path in reads:
        (folder / path).write_text(path)
    deps = ", ".join(reads)
    entries = [f"  s{n}: {{cmd: echo {n} > {n}.txt, deps: [{deps}], outs: [{n}.txt]}}\n" for n in range(stages)]
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(entries))
    for number in range(stages):
        (folder / f"{number}.txt").write_text(f"{number}\n")
    run(folder, "-m", "dvc", "commit", "--force", "-q").check_returncode()


def timed(made: Path, copy: Path, command: list[str], jobs: int) -> float:
    """Seconds from the start of the first job to the end of the last one."""
    shutil.copytree(made, copy)
    text = (copy / "dvc.yaml").read_text()
    (copy / "dvc.yaml").write_text(text.replace("{cmd: echo", "{cmd: true && echo"))  # all are due
    start = time.perf_counter()
    processes = [start_job(copy, *command, f"s{number}") for number in range(jobs)]
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - start
    assert not any(codes), codes
    shutil.rmtree(copy)
    return seconds


def start_job(folder: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=folder)


if __name__ == "__main__":
    main()
