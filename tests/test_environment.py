"""One list of versions: pip, the Makefile, environment.yml and pyproject.toml all lead to requirements.lock."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCK = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line.strip() and not line.lstrip().startswith(("#", "-"))
]
PINNED = {canonicalize_name(one.name): one for one in LOCK}


def project_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # The other extras are optional; what pip then installs is not locked.
    extras = [
        project["optional-dependencies"][name]
        for name in ("pipeline", "dev", "cityscapes", "efficientnet", "torchmetrics")
    ]
    return [Requirement(one) for one in sum(extras, project["dependencies"])]


def test_every_line_of_the_lock_is_an_exact_version():
    assert len(LOCK) > 50
    for one in LOCK:
        assert re.fullmatch(r"==[0-9][^*]*", str(one.specifier)), f"{one} is no exact version"


def test_torch_is_the_version_that_has_a_cpu_build():
    assert str(PINNED["torch"].specifier) == "==2.13.0"


@pytest.mark.parametrize("requirement", project_requirements(), ids=str)
def test_lock_has_every_requirement_of_the_project(requirement):
    pinned = PINNED.get(canonicalize_name(requirement.name))
    assert pinned is not None, f"{requirement.name} is not in requirements.lock: run `make lock`"
    version = Version(str(pinned.specifier).removeprefix("=="))
    assert version in requirement.specifier


def test_conda_environment_takes_its_packages_from_the_lock():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(one["pip"] for one in dependencies if isinstance(one, dict))
    assert pip == ["-r requirements.lock", "-e ."]
    # Nothing that the lock pins may be pinned a second time by conda.
    conda = {re.split(r"[=<>]", one)[0] for one in dependencies if isinstance(one, str)}
    assert conda == {"python", "pip", "git"}


def test_makefile_installs_the_lock():
    text = (ROOT / "Makefile").read_text()
    assert "install --quiet --disable-pip-version-check -r requirements.lock" in text
    assert not re.search(r"pip install [a-z]", text)


def test_python_versions_agree():
    environment = (ROOT / "environment.yml").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.search(r"python=(\S+)", environment).group(1)
    assert Version(version) in Requirement(f"python{project['requires-python']}").specifier


@pytest.mark.parametrize("requirement", LOCK, ids=str)
def test_installed_versions_are_those_of_the_lock(requirement):
    if requirement.marker and not requirement.marker.evaluate():
        pytest.skip("for another platform")
    installed = Version(metadata.version(requirement.name)).public
    assert installed == str(requirement.specifier).removeprefix("==")
