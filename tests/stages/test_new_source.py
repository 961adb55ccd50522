"""A new source as docs/datasets.md shows it: its module, the lines to add and its test, in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from etc.adopt import class_names
from etc.sources import registry
from tests.closure import import_closure

ROOT = Path(__file__).parents[2]
CHAPTER = (ROOT / "docs/datasets.md").read_text(encoding="utf-8").split("## A source of your own\n")[1]
MODULE, LINES, TEST = re.findall(r"```(?:python|diff)\n(.*?)```", CHAPTER, re.DOTALL)


@pytest.fixture
def copy(tmp_path):
    """The package with the example of docs/datasets.md added."""
    shutil.copytree(ROOT / "etc", tmp_path / "etc")
    (tmp_path / "etc/sources/kitti.py").write_text(MODULE)
    (tmp_path / "test_kitti.py").write_text(TEST)
    for part in LINES.split("--- ")[1:]:
        name, *hunks = part.split("\n@@\n")
        path = tmp_path / name
        for hunk in hunks:
            lines = hunk.splitlines()
            before = "\n".join(line[1:] for line in lines if line[0] == " ") + "\n"
            content = path.read_text()
            assert content.count(before) == 1, f"docs/datasets.md: {name} has no such lines: {before}"
            path.write_text(content.replace(before, "\n".join(line[1:] for line in lines) + "\n"))
    return tmp_path


def test_the_example_becomes_a_manifest(copy):
    # Without a folder of its own it would take minutes to remove what earlier tests have left in the common one.
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={copy / 'temporary'}"]
    command = [sys.executable, "-m", "pytest", *options, "test_kitti.py"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and "2 passed" in result.stdout, result.stdout + result.stderr


def test_the_lines_make_no_circle_of_imports(copy):
    """Each may be imported first, and the module imports neither the table nor the parameters."""
    assert not import_closure(copy, "etc/sources/kitti.py") & {"etc/params/frames.py", "etc/sources/registry.py"}
    assert "etc/sources/kitti.py" in import_closure(copy, "etc/stages/frames.py")
    for first in ("etc.params.frames", "etc.sources.registry", "etc.sources.kitti"):
        subprocess.run([sys.executable, "-c", f"import {first}"], cwd=copy, check=True, timeout=300)


@pytest.mark.parametrize("name", registry.SOURCES)
def test_a_source_is_complete(name):
    model, _ = registry.SOURCES[name]
    settings = model(**{"classes": "street"} if "classes" in model.model_fields else {})
    assert settings.source == name
    assert registry.build("mine", settings).location.variables[0] == "ETC_ROOT_MINE"
    assert class_names("mine", settings), f"etc adopt does not know the classes of {name}: see etc/adopt.py"
