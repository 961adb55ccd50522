"""docs/datasets.md from a video to its tables: first without labels, then with labels of a few frames.

Blocks and commands are those of the page, their blanks filled in; between them runs what dvc.yaml says. All of it runs
in this process, with short trainings on a small video.
"""

import re
import shlex
import shutil
from pathlib import Path

import cv2
import networkx
import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from typer.testing import CliRunner

from etc.cli import app
from etc.core.files import sha256
from etc.dataset.label_sets import STREET
from etc.models import registry, weights
from tests.commands.test_docs_commands import PAGES, blocks, commands, in_text

ROOT = Path(__file__).parents[2]
PAGE = PAGES["datasets"]
SHAPE = (48, 64)
TRAINED = ("labeller", "pretrain", "teacher", "student")


def block(name):
    """A block of YAML of the page, by its first words."""
    (found,) = re.findall(rf"^```yaml\n({name}.*?)^```", PAGE, re.M | re.S)
    return found


def written(start):
    """The command of the page that begins like this, without its comment."""
    found = {*(one for block in blocks(PAGE) for one in commands(block)), *in_text(PAGE)}
    (command,) = [one for one in found if one.startswith(start)]
    return command.partition("#")[0]


def etc(command):
    """Run a command; what it printed."""
    program, *arguments = shlex.split(command)
    result = CliRunner().invoke(app, arguments)
    assert program == "etc" and result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
    return result.output


def change(name, dataset, values):
    path = Path("params", f"{name}.yaml")
    content = yaml.safe_load(path.read_text())
    for key, value in values.items():
        inner = content[dataset] if dataset else content
        *parents, last = key.split(".")
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def shorten(dataset):
    """Trainings of two steps on small crops, of which something is labelled."""
    for name in TRAINED:
        short = {"iterations": 2, "warmup": 0, "batch": 2, "augment.crop": [32, 32], "judge_every": None}
        change(name, dataset, {f"training.{key}": value for key, value in short.items()})
    change("pseudo_labels", dataset, {"scales": [1.0], "min_confidence": 0.0})


def run_all():
    """Run every stage of dvc.yaml in its order."""
    graph = Repo(".").index.graph
    for stage in reversed(list(networkx.topological_sort(graph))):
        if not stage.cmd.startswith("etc check"):
            # More processes would take longer to start than their work takes.
            etc(f"{stage.cmd} --workers 1" if stage.cmd.startswith(("etc frames", "etc flow")) else stage.cmd)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a video in it, and a project in which street has been trained."""
    for name in ("ETC_ROOT_DRIVE", "ETC_ROOT_WALK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    shutil.copytree(ROOT / "params", project / "params")
    shutil.copytree(ROOT / "etc", project / "etc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", project)
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\n    no_scm = True\n    analytics = False\n")
    monkeypatch.chdir(project)
    for place, width in (("labeller/0", 16), ("pretrained/pspnet18-0", 8)):
        config = {"architecture": "pspnet18", "width": width, "classes": 9, "class_names": list(STREET.names)}
        weights.save(str(Path("data/street", place)), registry.build("pspnet18", 9, width), config)
    change("experiment", "", {"seeds": [0], "plain": ["baseline"], "ablation.schemes": [], "ablation.seeds": [0]})
    film(tmp_path / "videos/drive.mp4")
    return tmp_path


def film(path):
    """Four seconds at 10 frames a second: a pattern that slides by a pixel a frame."""
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, SHAPE[::-1])
    wide = np.random.default_rng(0).integers(0, 256, (SHAPE[0], SHAPE[1] + 40, 3), np.uint8)
    wide = cv2.GaussianBlur(wide, (0, 0), 3)
    for shift in range(40):
        writer.write(wide[:, shift : shift + SHAPE[1]])
    writer.release()


def add_block(text):
    with Path("params/frames.yaml").open("a") as stream:
        stream.write(f"\n{text}")


def test_a_video_without_labels_and_then_with_a_few(home):
    video = block("drive:").replace("height: 256 ", f"height: {SHAPE[0]} ")
    add_block(video.replace("clip_frames: 30", "clip_frames: 5"))
    printed = etc(written("etc adopt drive"))
    (checksum,) = set(re.findall(r"labeller.yaml: .*checksum: (\w+)", printed))
    assert sha256(Path("data/street/labeller/0/weights.safetensors")).startswith(checksum)
    etc("etc adopt drive --run")
    shorten("drive")
    run_all()
    schemes = pd.read_csv("results/drive/tables/schemes.csv")
    assert schemes["tc_mean"].between(0, 100).all() and schemes["miou_mean"].isna().all()
    student = "data/drive/students/pspnet18-etc-0"
    filled_in = written("etc predict RUN DATASET").replace("RUN", student).replace("DATASET", "drive")
    etc(filled_in.replace("DIR", "seen"))
    command = re.search(r"etc tc .*", etc(f"etc predict {student} drive --to ids --split all"))[0]
    assert "TC" in etc(command) and len(list(Path("ids").rglob("*.png"))) == 40

    # Two frames of each clip get a label: the car is what is bright.
    for number, frame in enumerate(sorted(Path("data/drive/root").rglob("*.png"))):
        name = f"{number // 5}/{number % 5}.png"
        picture = cv2.imread(str(frame))
        write(home / "videos/walk/images" / name, picture)
        if number % 5 in (1, 3):
            write(home / "videos/walk/labels" / name, (picture[..., 0] > 128).astype(np.uint8))
    (home / "videos/walk/classes.yaml").write_text(block("labels: ids"))
    add_block(block("walk:"))
    etc(written("etc adopt walk"))
    etc("etc adopt walk --run")
    shorten("walk")
    run_all()
    schemes = pd.read_csv("results/walk/tables/schemes.csv")
    assert schemes["tc_mean"].between(0, 100).all() and schemes["miou_mean"].between(0, 100).all()
    assert "walk" in etc("etc show")


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
