"""Frames of 1024x2048 pixels go through every stage, with pretrained networks: a rehearsal of what needs a GPU.

Two clips of three frames each, two iterations a training. They are those of Cityscapes where these lie beside the
checkout, and rendered ones elsewhere.
"""

import pandas as pd
import pytest

from tests.real_data import DATA
from tests.scenarios.project import TRAINED, Project

SIZE = (1024, 2048)
SOURCE = DATA / "cityscapes/leftImg8bit_sequence/val/frankfurt"
LABEL = DATA / "cityscapes/gtFine/val/frankfurt/frankfurt_000001_047552_gtFine_labelIds.png"
# Number of the labelled frame, which is to be the second of each clip.
LABELLED = 47552


def cityscapes(root):
    """A root of two clips, made of links: both show the frames around the one that has a label."""
    for split, city in (("train", "aachen"), ("val", "frankfurt")):
        frames, labels = root / "leftImg8bit_sequence" / split / city, root / "gtFine" / split / city
        frames.mkdir(parents=True)
        labels.mkdir(parents=True)
        for number in range(LABELLED - 1, LABELLED + 2):
            image = SOURCE / f"frankfurt_000001_{number:06d}_leftImg8bit.png"
            (frames / f"{city}_000001_{number:06d}_leftImg8bit.png").symlink_to(image)
        (labels / f"{city}_000001_{LABELLED:06d}_gtFine_labelIds.png").symlink_to(LABEL)


@pytest.fixture(params=["cityscapes", "rendered"])
def project(request, tmp_path, command_server, monkeypatch):
    if request.param == "rendered" and SOURCE.is_dir():
        pytest.skip("frames of Cityscapes are here")
    if request.param == "cityscapes" and not SOURCE.is_dir():
        pytest.skip("no frames of Cityscapes here")
    project = Project.toy(tmp_path / "project", command_server)
    name = "street"
    if request.param == "cityscapes":
        name = "cityscapes_small"
        cityscapes(tmp_path / "root")
        monkeypatch.setenv("ETC_ROOT_CITYSCAPES_SMALL", str(tmp_path / "root"))
        project.change("experiment.yaml", "run", [name])
        project.change("report.yaml", f"{name}.baseline", "tl")
        project.change("report.yaml", f"{name}.overlay.frames", 2)
    else:
        size = {"height": SIZE[0], "width": SIZE[1], "frames_per_clip": 3, "annotated": 1, "max_offset": 2}
        for key, value in {**size, "clips": {"train": 1, "dev": 0, "test": 1}, "edge_samples": 1}.items():
            project.change("frames.yaml", f"{name}.{key}", value)
        # Finer steps could not hold the flow of such frames.
        project.change("flow.yaml", f"{name}.evaluate.steps_per_pixel", 16)
    project.change("experiment.yaml", "architectures", ["efficientnet_lite0"])
    project.change("experiment.yaml", "ablation.schemes", [])
    training = {
        "iterations": 2,
        "batch": 2,
        "warmup": 0,
        "backbone": "installed",
        "freeze_bn": True,
        "judge_every": None,
        "keep": "last",
    }
    for file in TRAINED:
        for key, value in training.items():
            project.change(file, f"{name}.training.{key}", value)
        project.change(file, f"{name}.training.augment.crop", [384, 384])
    for file in ("labeller.yaml", "teacher.yaml"):
        project.change(file, f"{name}.network", {"architecture": "efficientnet_lite2", "width": 64})
    project.change("student.yaml", f"{name}.widths", {"efficientnet_lite0": 64})
    project.change("student.yaml", f"{name}.iterations_factor", {})
    # At stride 4 every pixel with every other would be 9216 x 9216 numbers.
    for term in ("sf", "pf"):
        project.change("student.yaml", f"{name}.losses.{term}.grid", [16, 16])
    for file in ("teacher.yaml", "student.yaml"):
        project.change(file, f"{name}.sampling", {"pseudo_share": 0.5, "partner_reach": 1})
    for key, value in {"scales": [1.0], "min_confidence": 0.0, "stride": 1, "batch": 1}.items():
        project.change("pseudo_labels.yaml", f"{name}.{key}", value)
    project.change("evaluate.yaml", f"{name}.batch", 1)
    return project, name


def test_frames_of_full_size_go_through_every_stage(project):
    project, name = project
    assert f"report@{name}" in project.repro().ran
    frames = pd.read_parquet(project.folder / f"data/{name}/frames.parquet")
    assert set(zip(frames["height"], frames["width"], strict=True)) == {SIZE}
    table = pd.read_csv(project.folder / "results" / name / "tables/schemes.csv").set_index("scheme")
    assert table["tc_mean"].between(0, 100).all() and table["miou_mean"].between(0, 100).all()
    # 3,052,147 with 19 classes, of which each has 33.
    assert table.loc["etc", "gmac"] == pytest.approx(16.0, abs=0.1) and table.loc["etc", "parameters"] > 3_050_000
    project.assert_settled()
