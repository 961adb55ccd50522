"""docs/tc.md: its Python runs, its tables are complete, its CamVid figures are real."""

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from etc.cli import app
from tests.commands import world
from tests.real_data import DATA

PAGE = (Path(__file__).parents[2] / "docs" / "tc.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CAMVID = DATA / "camvid"


def test_the_example_in_memory_finds_a_steady_scene(capsys):
    variables = {}
    exec(BLOCKS[0], variables)
    figures = variables["figures"]
    assert figures["pairs"] == 6 and list(figures["clips"]) == ["clip0", "clip1"]
    # The scene moves as a whole, so only errors of the flow at its edges are left.
    assert 0.8 < figures["tc"] <= 1 and figures["tc_low"] <= figures["tc"] <= figures["tc_high"]
    assert str(figures["tc"]) in capsys.readouterr().out


def test_the_example_with_folders(tmp_path, monkeypatch):
    world.make(tmp_path, flow=False)
    monkeypatch.chdir(tmp_path)
    variables = {"__name__": "__main__"}
    exec(BLOCKS[1], variables)
    assert variables["outcome"].figures["tc"] > 0.9


def test_the_loop_of_one_s_own():
    images = torch.rand(1, 3, 3, 32, 48, generator=torch.manual_seed(0))
    clip = [(image, torch.zeros(32, 48, dtype=torch.long)) for image in images[0]]
    variables = {"clips": [clip], "network": lambda image: torch.cat([image, image], 1)}
    exec(BLOCKS[2], variables)
    assert 0 < variables["tc"].compute()["tc"] < 1
    # The other one is for mmsegmentation, which is not installed here.
    compile(BLOCKS[3], "docs/tc.md", "exec")


def test_all_options_and_keys_are_explained(tmp_path):
    import typer

    (command,) = [one for name, one in typer.main.get_command(app).commands.items() if name == "tc"]
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert options - {"--help"} <= set(re.findall(r"--[a-z-]+", PAGE))
    root = world.make(tmp_path)
    paths = ["--predictions", root / "predictions", "--flow", root / "flow", "--labels", root / "predictions"]
    more = ["--against", root / "predictions", "--workers", 1, "--json", root / "out.json"]
    assert CliRunner().invoke(app, ["tc", *map(str, paths + more)]).exit_code == 0
    figures = json.loads((root / "out.json").read_text())
    table = PAGE.split("## JSON")[1].split("##")[0]
    keys = {*figures, *figures["against"], *figures["clips"]["walk"]}
    explained = set(re.findall(r"\w+", table))
    assert {key for key in keys if not re.search("_(low|high)$", key)} <= explained


@pytest.mark.skipif(not (CAMVID / "valannot").is_dir(), reason="CamVid is not here")
def test_labels_of_camvid_as_predictions():
    """The output in the page; without --ignore void is a class too many."""
    paths = ["--predictions", CAMVID / "valannot", "--frames", CAMVID / "val", "--workers", 1]
    result = CliRunner().invoke(app, ["tc", *map(str, paths), "--ignore", "11"])
    assert result.exit_code == 0
    printed = [line.split() for line in result.stdout.splitlines()]
    page = [line.split() for line in PAGE.split("--workers 1\n")[1].split("```")[0].splitlines()]
    assert printed[1:] == page[1:]
    result = CliRunner().invoke(app, ["tc", *map(str, paths), "--classes", "11"])
    assert result.exit_code == 1
    assert "0016E5_07959.png: id 11, but there are 11 classes (0 to 10; ignored: 255)" in result.stderr
