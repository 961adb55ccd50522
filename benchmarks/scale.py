"""What grows with a data set and with an experiment: manifest, training's list of frames, flow, DVC's index, the graph.

    python benchmarks/scale.py manifest 150000 2000000      # rows
    python benchmarks/scale.py index 5000 50000             # files in one folder that DVC tracks
    python benchmarks/scale.py graph 3 20 82                # chains; 12 stages each, and 18 others
    python benchmarks/scale.py flow FOLDER                  # of consecutive frames

Nothing is trained or rendered: manifests and files are made up, and a stage counts as run when empty outputs of it are
committed. Prints rows of Markdown tables: processor seconds, and on a busy machine longer ones on the clock.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# The tests are no installed package.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import Timed, measure, timed
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import CITYSCAPES
from etc.stages.flow import Task, compute_clip
from etc.training.clips import training_clips
from tests.scenarios.project import TOY, Project

CLIP = 30  # frames in a clip, one of them annotated
TINY = b"x" * 4096  # in place of a file of flow, whose size matters to hashing alone
HASHED = 1 << 30  # bytes
# Something is written for the outputs of every stage and put into the cache, and dvc.lock is written once (DVC itself
# writes it again for each stage): DVC then calls all up to date.
PRETEND = """
from pathlib import Path
import json
import shutil
import yaml
from dvc.repo import Repo
from dvc.stage.serialize import to_single_stage_lockfile
repo = Repo()
lock = {}
with repo.lock:
    for stage in repo.index.stages:
        for out in stage.outs:
            path = Path(out.fs_path)
            path = path if path.suffix else path / "file"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{stage.addressing} {path.name}")
    for stage in repo.index.stages:
        stage.save()
        for out in stage.outs:
            if Path(out.fs_path).is_dir():
                out.commit()
            elif out.use_cache:
                place = Path(out.cache.oid_to_path(out.hash_info.value))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(out.fs_path, place)
        lock[stage.addressing] = json.loads(json.dumps(to_single_stage_lockfile(stage)))
text = yaml.dump({"schema": "2.0", "stages": lock}, Dumper=yaml.CSafeDumper, sort_keys=False)
Path("dvc.lock").write_text(text)
"""
VERDICT = """
from etc.pipeline import graph
due = graph.load().due
assert not due, due
"""
ONE_JOB = "dvc repro -q --single-item --force check@params"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=PARTS)
    parser.add_argument("values", nargs="+", help="numbers, or for flow a folder")
    options = parser.parse_args()
    for value in options.values:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[options.what](value if options.what == "flow" else int(value), Path(folder))


def manifests(rows: int, folder: Path) -> None:
    """A manifest of so many rows: written, read with its checks, and as training lists it."""
    data = Dataset("data", folder)
    data.folder.mkdir()
    written = measure(_write_manifest, data, rows)
    read = measure(_read_manifest, data)
    listed = measure(_list_frames, data)
    cells = [f"{one.timed.processor:.1f} s, {one.peak / 1e9:.2f} GB" for one in (written, read, listed)]
    print(f"| {rows:,} | {data.manifest.stat().st_size / 1e6:.1f} MB | {' | '.join(cells)} |", flush=True)


def _write_manifest(data: Dataset, rows: int) -> Timed:
    number = np.arange(rows)
    clip = pd.Series(number // CLIP).map("city_{:06d}".format)
    image = clip + pd.Series(number % CLIP).map("_{:06d}_leftImg8bit.png".format)
    annotated = number % CLIP == 19
    digest = [hashlib.blake2b(int(one).to_bytes(8, "little"), digest_size=16).hexdigest() for one in number]
    frames = pd.DataFrame(
        {
            "clip": clip,
            "frame": number % CLIP,
            "split": "train",
            "annotated": annotated,
            "image": "leftImg8bit_sequence/train/city/" + image,
            "label": np.where(annotated, "gtFine/train/city/" + image, ""),
            "width": 2048,
            "height": 1024,
            "bytes": 2_000_000 + number,
            "checksum": digest,
            "label_checksum": np.where(annotated, digest, ""),
        }
    )
    return timed(lambda: manifest.write(data.manifest, frames, CITYSCAPES))


def _read_manifest(data: Dataset) -> Timed:
    return timed(lambda: len(data.frames))


def _list_frames(data: Dataset) -> Timed:
    return timed(lambda: len(training_clips(data).annotated))


def index(files: int, folder: Path) -> None:
    """One tracked folder of so many small files, and what hashing their content adds."""
    project = Project(folder)
    project.run("git init -q . && dvc init -q && dvc config core.analytics false")
    (folder / "flow").mkdir()
    for number in range(files):
        (folder / f"flow/{number:06d}.arrow").write_bytes(TINY + str(number).encode())
    cells = [_taken(project, command) for command in ("dvc add -q flow", "dvc status -q", "dvc status -q")]
    one = folder / "flow/000000.arrow"
    one.write_bytes(b"changed")
    cells.append(_taken(project, "dvc add -q flow"))
    block = bytes(HASHED)
    cells.append(f"{timed(lambda: hashlib.md5(block)).processor:.1f} s")
    print(f"| {files:,} | {' | '.join(cells)} |", flush=True)


def graph(chains: int, folder: Path) -> None:
    """The pipeline with so many chains, all of it up to date; nothing of it has run. A cell is printed when known."""
    kept = {"experiment.yaml": {"seeds": list(range(chains))}, "report.yaml": {}}
    project = Project.toy(folder / "project", changes={**TOY, **kept})
    for name, text in (("pretend", PRETEND), ("verdict", VERDICT)):
        (project.folder / f"{name}.py").write_text(text)
    project.run("python pretend.py")
    stages = project.run("dvc stage list --name-only").text.split()
    print(f"| {len(stages):,} | {(project.folder / 'dvc.lock').stat().st_size / 1e6:.2f} MB", end="", flush=True)
    alone = _seconds(project, "etc check")
    for command in ("python verdict.py", "snakemake -n --cores 2", "dvc status"):
        print(f" | {_seconds(project, command):.1f} s", end="", flush=True)
    assert "up to date" in project.run("dvc status").text
    # What it makes is no longer what was pretended.
    print(f" | {_seconds(project, ONE_JOB) - alone:.1f} s |", flush=True)


def flow(frames: str, folder: Path) -> None:
    """A clip of consecutive frames: seconds and bytes of a pair, as params/flow.yaml has it for training."""
    from PIL import Image

    from etc.params import flow as params

    data, settings = Dataset("data", folder), params.load("cityscapes").train
    paths = sorted(Path(frames).absolute().glob("*.png"))
    data.root.mkdir(parents=True)
    rows = []
    for number, path in enumerate(paths):
        (data.root / path.name).symlink_to(path)
        size = dict(zip(("width", "height"), Image.open(path).size, strict=True))
        rows.append({"frame": number, "image": path.name, "checksum": manifest.checksum(path.read_bytes()), **size})
    task = Task("clip", data, rows, settings, folder / "clip.arrow")
    taken = timed(lambda: compute_clip(task))
    pairs, stored = len(task.pairs), task.path.stat().st_size
    print(f"{pairs} pairs: {taken.processor / pairs:.2f} processor seconds and {stored / pairs / 1e6:.2f} MB a pair")


def _seconds(project: Project, command: str) -> float:
    return timed(lambda: project.run(command)).processor


def _taken(project: Project, command: str) -> str:
    return f"{_seconds(project, command):.1f} s"


PARTS: dict[str, Callable[[Any, Path], None]] = {"manifest": manifests, "index": index, "graph": graph, "flow": flow}


if __name__ == "__main__":
    main()
