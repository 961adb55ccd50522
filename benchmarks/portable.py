"""What the portable settings cost: seconds of training with them against without them, in turn, on this machine.

    python benchmarks/portable.py

Needs the data of a finished run of street: `make results`. Prints medians over several turns and their ratio.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from etc.core.portable import OFF, SETTINGS

NEEDED = ("root", "frames.parquet", "flow", "pseudo_labels", "pretrained", "teacher")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=40, help="steps of each training")
    parser.add_argument("--turns", type=int, default=3, help="trainings with and without the settings")
    options = parser.parse_args()
    print("| scheme | portable, ms a step | fastest kernels, ms a step | ratio |\n|---|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        set_up(project, options.iterations)
        for scheme in ("baseline", "etc"):
            turns = [[train(project, scheme, value) for value in ("1", "0")] for _ in range(options.turns)]
            portable, fastest = (1000 * statistics.median(one) / options.iterations for one in zip(*turns, strict=True))
            print(f"| {scheme} | {portable:.0f} | {fastest:.0f} | {portable / fastest:.2f} |", flush=True)


def set_up(project: Path, iterations: int) -> None:
    """A project with the data of this one and short trainings."""
    data = Path("data/street")
    (project / data).mkdir(parents=True)
    for name in NEEDED:
        (project / data / name).symlink_to((data / name).resolve(strict=True))
    shutil.copytree("params", project / "params")
    path = project / "params/student.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["street"]["training"].update(iterations=iterations, warmup=0)
    path.write_text(yaml.safe_dump({"street": params["street"]}), encoding="utf-8")


def train(project: Path, scheme: str, portable: str) -> float:
    """Seconds of one training."""
    run = project / f"data/street/students/pspnet18-{scheme}-0"
    for folder in (run, project / "work"):
        shutil.rmtree(folder, ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-m", "etc", "student", "street", "--scheme", scheme, "--seed", "0"]
    environment |= {OFF: portable, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    return json.loads((run / "timing.json").read_text(encoding="utf-8"))["train_seconds"]


if __name__ == "__main__":
    main()
