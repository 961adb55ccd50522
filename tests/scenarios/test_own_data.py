"""A user's own frames without labels: one block, one command, and the chain runs on them."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.scenarios.project import ROOT

BLOCK = """
mine:
  source: folder
  root: {root}
  labels: null
  classes: street
  split: {{train: [walk], test: [ride]}}
"""


@pytest.fixture
def frames(tmp_path):
    """Ten frames of 32 x 64 pixels in two clips: a blurred pattern that slides by two pixels a frame."""
    rng = np.random.default_rng(0)
    for clip in ("walk", "ride"):
        wide = cv2.GaussianBlur(rng.integers(0, 256, (32, 80, 3), np.uint8), (0, 0), 2)
        (tmp_path / "own/images" / clip).mkdir(parents=True)
        for frame in range(5):
            cv2.imwrite(str(tmp_path / f"own/images/{clip}/{frame}.png"), wide[:, 2 * frame : 2 * frame + 64])
    return tmp_path / "own"


def test_own_frames_go_through_the_chain_with_one_block_and_one_command(project, frames, tmp_path):
    params = project.folder / "params"
    with (params / "frames.yaml").open("a") as stream:
        stream.write(BLOCK.format(root=frames))
    before = {path.name: path.read_text() for path in params.iterdir()}
    text = project.run("etc adopt mine --like street").text
    assert "checkpoint: data/street/labeller" in text and "To run it alone: etc adopt mine --run" in text
    for name, old in before.items():
        assert (params / name).read_text().startswith(old)
    project.edit("params/experiment.yaml", "run:\n- street\n", "run: [street, mine]\n")
    project.change("student.yaml", "mine.training.iterations", 2)
    project.change("student.yaml", "mine.iterations_factor", {})
    made = project.contents()

    ran = project.snakemake().ran
    assert "report@mine" in ran and not any("street" in stage for stage in ran)
    now = project.contents()
    assert all(now[name] == content for name, content in made.items())
    table = pd.read_csv(project.folder / "results/mine/tables/schemes.csv")
    assert set(table["scheme"]) == {"tl", "etc", "sf", "labeller", "teacher"}
    assert table["tc_mean"].between(0, 100).all() and table["miou_mean"].isna().all()
    for place in ("labeller/0", "pretrained/pspnet18-0"):
        assert now[f"mine/{place}/weights.safetensors"] == now[f"street/{place}/weights.safetensors"]
    # What a remote gets of it holds no frame, nor, by the command of the page, those that were made here.
    (recipe,) = re.findall(r"^dvc stage list .*", (ROOT / "docs/sharing.md").read_text(), re.MULTILINE)
    project.run(f"dvc remote add -d store {tmp_path}/remote && {recipe.replace('drive', 'street')}")
    pushed = [path.read_bytes() for path in (tmp_path / "remote/files").rglob("*") if path.is_file()]
    assert now["mine/students/pspnet18-etc-0/weights.safetensors"] in pushed
    assert now["street/frames.parquet"] in pushed and not any(one.startswith(b"\x89PNG") for one in pushed)
    project.run("etc predict data/mine/students/pspnet18-etc-0 mine --to work/seen --form overlay")
    assert len(list((project.folder / "work/seen/ride").iterdir())) == 5
    project.assert_settled()
    # One's parameters are not the other's business.
    project.change("report.yaml", "mine.confidence", 0.9)
    assert project.repro().ran == {"report@mine"}
    project.assert_settled()
