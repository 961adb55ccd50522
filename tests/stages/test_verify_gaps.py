"""``etc frames --verify`` over data sets that lack a frame, or have a still that differs in size from the others."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from etc.cli import app
from etc.dataset import manifest
from etc.stages import frames
from tests.sources.camvid_world import SHAPE, picture, segnet, write

LABEL = np.full(SHAPE, 7, np.uint8)
CITYSCAPES = "leftImg8bit_sequence/train/ulm/ulm_000000_{:06d}_leftImg8bit.png"


def cityscapes(root: Path) -> dict:
    for number in range(30):
        write(root / CITYSCAPES.format(number), picture(number))
    # The second one is a clip of one frame.
    for place, below in enumerate(("train/ulm/ulm_000000", "train/ulm/ulm_000001", "val/lindau/lindau_000000")):
        below = f"{below}_000019"
        write(root / "leftImg8bit" / f"{below}_leftImg8bit.png", picture(100 + place))
        write(root / "gtFine" / f"{below}_gtFine_labelIds.png", LABEL)
    return {"source": "cityscapes"}


def camvid(root: Path) -> dict:
    segnet(
        root, {"train": ["0006R0_f00930", "0006R0_f00960"], "val": [f"0016E5_{n:05d}" for n in range(7959, 7980, 2)]}
    )
    return {"source": "camvid", "split": "published"}


def folder(root: Path) -> dict:
    for number in range(8):
        write(root / "images" / "walk" / f"{number:03d}.png", picture(number))
    write(root / "images" / "still" / "000.png", picture(50))
    split = {"train": ["*"]}
    return {"source": "folder", "images": "images", "labels": None, "classes": "street", "split": split}


# How the data set is made, the frame that is lost, the one behind it, what is said, and a clip of one frame.
CASES = {
    "cityscapes": (
        cityscapes,
        CITYSCAPES.format(10),
        CITYSCAPES.format(11),
        "frame 11 follows 9, 1 frame is missing",
        "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png",
    ),
    "camvid": (
        camvid,
        "val/0016E5_07969.png",
        "val/0016E5_07971.png",
        "frame 7971 follows 7967, 1 frame is missing",
        "train/0006R0_f00930.png",
    ),
    "folder": (
        folder,
        "images/walk/005.png",
        "images/walk/006.png",
        "frame 6 follows 4, 1 frame is missing",
        "images/still/000.png",
    ),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path, monkeypatch):
    make, *rest = CASES[request.param]
    root, project = tmp_path / "theirs", tmp_path / "project"
    (project / "params").mkdir(parents=True)
    (project / "params/frames.yaml").write_text(yaml.safe_dump({"mine": make(root)}))
    monkeypatch.chdir(project)
    monkeypatch.setenv("ETC_ROOT_MINE", str(root))
    monkeypatch.delenv("CITYSCAPES_DATASET", raising=False)
    return root, *rest


def verified() -> tuple[str, list[list[str]], dict[str, float]]:
    """What is printed, the findings, and gaps and lacking of all clips."""
    result = CliRunner().invoke(app, ["frames", "mine", "--verify", "--workers", "1"])
    assert result.exit_code == 0, result.output
    rows = pq.read_table("work/mine/verification.parquet").to_pandas()
    found = rows.loc[rows["subject"].eq("file"), ["kind", "path", "detail"]].to_numpy().tolist()
    clips = rows[rows["subject"].eq("clip")].groupby("kind")["value"].sum()
    return result.stdout, found, clips[["gaps", "lacking"]].to_dict()


def before_and_after_the_manifest() -> list[tuple[str, list[list[str]], dict[str, float]]]:
    first = verified()
    frames.run("mine", workers=1)
    return [first, verified()]


def test_a_lost_frame_is_a_gap(case):
    root, lost, behind, detail, _ = case
    (root / lost).unlink()
    for shown, found, counted in before_and_after_the_manifest():
        assert found == [["gap", behind, detail]]
        assert counted == {"gaps": 1, "lacking": 1}
        (line,) = (line for line in shown.splitlines() if line.startswith(" gap in a sequence (warning)"))
        assert line.split()[5] == "1" and line.endswith(f"{behind}: {detail}")
        assert "no file is missing or wrong, warnings: 1; the table in full" in shown


def test_a_clip_of_one_small_frame_is_noticed(case):
    root, *_, still = case
    small = cv2.imread(str(root / still))[::2, ::2, ::-1]
    write(root / still, small)
    label = root / still.replace("train/", "trainannot/")
    if "leftImg8bit" in still:
        label = root / still.replace("leftImg8bit/", "gtFine/").replace("_leftImg8bit", "_gtFine_labelIds")
    if "images" not in still:
        write(label, cv2.imread(str(label), cv2.IMREAD_UNCHANGED)[::2, ::2])
    for shown, found, counted in before_and_after_the_manifest():
        assert found == [["clip_size", still, "24x18 pixels, most images 48x36"]]
        assert counted == {"gaps": 0, "lacking": 0}
        (line,) = (line for line in shown.splitlines() if line.startswith(" differs in size from most (warning)"))
        assert line.endswith(f"{still}: 24x18 pixels, most images 48x36")


def test_without_gaps_the_manifest_has_the_bytes_that_it_had_before_it_kept_gaps(case, tmp_path):
    for shown, found, counted in before_and_after_the_manifest():
        assert found == [] and counted == {"gaps": 0, "lacking": 0} and "nothing is wrong" in shown
    path = Path("data/mine/frames.parquet")
    held = manifest.read(path), manifest.read_label_set(path), manifest.read_terms(path)
    manifest.write(tmp_path / "alone.parquet", *held)
    assert path.read_bytes() == (tmp_path / "alone.parquet").read_bytes()
