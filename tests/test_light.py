"""Without the extra ``pipeline``, ``etc tc`` and etc.metrics work, and other commands say what to install."""

import json
import os
import re
import subprocess
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from tests.commands import world
from tests.measure.test_id_video import write as write_ids

ROOT = Path(__file__).parent.parent


def installed_with(names: list[str]) -> dict[str, metadata.Distribution]:
    """Distributions of these requirements and of all that they require."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(one) for one in names]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found[name] = metadata.distribution(name)
        waiting += map(Requirement, found[name].requires or [])
    return found


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """An environment that holds this package and its plain dependencies, as links to what is installed here."""
    folder = tmp_path_factory.mktemp("light")
    venv.create(folder / "env")
    packages = next((folder / "env").glob("lib/python*/site-packages"))
    (packages / "etc").symlink_to(ROOT / "etc")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = packages / f"etc_segmentation-{project['version']}.dist-info/METADATA"
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: etc-segmentation\nVersion: {project['version']}\n")
    for one in installed_with(project["dependencies"]).values():
        for top in {file.parts[0] for file in one.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(one.locate_file(top))
    world.make(folder, ("a", "b"), range(4), flow=False, wrong=0.2, name="ids")
    return folder


def run(light, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [light / "env/bin/python", *arguments]
    return subprocess.run(command, cwd=light, env=environment, capture_output=True, text=True)


def test_nothing_of_the_pipeline_is_there(light):
    for name in ("torch", "dvc", "snakemake", "pandas", "scipy", "matplotlib"):
        assert f"No module named '{name}'" in run(light, "-c", f"import {name}").stderr


def test_etc_tc(light):
    result = run(light, "-m", "etc", "tc", "--predictions", "ids", "--frames", "frames", "--labels", "ids",
                 "--against", "ids", "--json", "tc.json", "--parquet", "tc.parquet", "--html", "tc.html")  # fmt: skip
    assert result.returncode == 0, result.stderr
    figures = json.loads((light / "tc.json").read_text())
    assert 0 < figures["tc"] < 1 and figures["against"]["difference"] == 0
    assert figures["miou"] == 1 and figures["vc8_windows"] == 0
    assert (light / "tc.html").read_text().count('src="data:image/png') == 5 * 2 * 3


def test_ids_in_a_video(light):
    ids = [np.asarray(Image.open(path)) for path in sorted((light / "ids/a").iterdir())]
    write_ids(light / "a.mkv", ids=ids)
    result = run(light, "-m", "etc", "tc", "--predictions", "a.mkv", "--frames", "frames/a")
    assert result.returncode == 0 and "1 clip, 3 pairs" in result.stdout, result.stderr


def test_the_metrics(light):
    result = run(light, "-c", "import etc; print(etc.TemporalConsistency(3), etc.FlipRate(), etc.VideoConsistency())")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", [("networks",), ("predict", "run", "video.mp4", "--show")], ids=lambda one: one[0])
def test_other_commands_say_what_to_install(light, command):
    result = run(light, "-m", "etc", *command)
    assert result.returncode == 1
    assert re.fullmatch(r"error: \w+ is not installed: pip install 'etc-segmentation\[pipeline\]'\n", result.stderr)


def test_etc_doctor(light):
    pipeline = "pip install 'etc-segmentation[pipeline]'"
    result = run(light, "-m", "etc", "doctor")
    assert result.returncode == 0 and result.stdout.endswith("\nNothing is wrong.\n"), result.stderr
    assert pipeline in " ".join(result.stdout.split())
    for name in ("dvc.yaml", "requirements.lock", "params"):
        (light / name).symlink_to(ROOT / name)
    result = run(light, "-m", "etc", "doctor")
    problem = f"- the pipeline cannot run without torch, dvc, snakemake: {pipeline}"
    assert result.returncode == 1 and "not looked into, pandas is not installed" in result.stdout, result.stderr
    assert " ".join(result.stdout.split()).endswith(f"1 problem: {problem}"), result.stdout


def test_help(light):
    assert "temporal consistency" in run(light, "-m", "etc", "--help").stdout.lower()
