"""What the tools themselves cost: seconds of doing nothing, and of one job beyond its command.

Run in a project whose pipeline is up to date (after `make results`):

    python benchmarks/pipeline_overhead.py

Prints a Markdown table. Each figure is the median of several runs on this machine.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

# A stage that takes seconds, so that the overhead of its job can be seen.
STAGE, COMMAND, OUTPUT = (
    "evaluate@street-pspnet18-baseline-0",
    "etc evaluate street --scheme baseline --seed 0",
    ("data/street/evaluation/pspnet18-baseline-0"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3, help="runs per figure")
    repeat = parser.parse_args().repeat
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if "Data and pipelines are up to date" not in run("dvc status"):
        sys.exit("error: the pipeline is not up to date; run `make results` first")

    idle = {
        "no-op `snakemake --cores 1`": median("snakemake --cores 1 --quiet all", repeat),
        "no-op `dvc repro`": median("dvc repro", repeat),
        "`dvc status`": median("dvc status", repeat),
    }
    direct = median(COMMAND, repeat)
    # Without the run cache DVC really runs the stage.
    dvc = median(f"dvc repro --single-item --force --no-run-cache {STAGE}", repeat)
    whole = median("snakemake --cores 1 --quiet all", repeat, before=lambda: shutil.rmtree(OUTPUT))
    print(
        f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.python_version()}\n"
    )
    print("| what | seconds |\n|---|---|")
    for name, seconds in idle.items():
        print(f"| {name} | {seconds:.2f} |")
    print(f"| one job's command run directly | {direct:.2f} |")
    print(f"| the same as `dvc repro --single-item`: overhead | {dvc - direct:.2f} |")
    print(f"| one deleted output restored by `snakemake` from the cache, all told | {whole:.2f} |")


def run(command: str) -> str:
    """Run a command and return what it prints; stop when it fails."""
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: `{command}` failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def median(command: str, repeat: int, before=lambda: None) -> float:
    """Median seconds of a command."""
    seconds = []
    for _ in range(repeat):
        before()
        start = time.perf_counter()
        run(command)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
