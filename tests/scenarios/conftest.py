"""One toy pipeline is built once, for all test workers; each scenario works on its own copy."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.scenarios.project import PRELOADED, Project, Result, wait_for


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/scenarios" in str(item.path):
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Function that has a folder made by the first test worker that asks for it, while the others wait."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                # An earlier worker may have failed half way.
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def command_server(tmp_path_factory) -> Iterator[str]:
    """Address of a process that has loaded torch and the tools and runs them; empty where forks are not safe."""
    if sys.platform != "linux":
        yield ""
        return
    address = tmp_path_factory.mktemp("server") / "socket"
    server = subprocess.Popen([sys.executable, PRELOADED / "server.py", address])
    wait_for(lambda: address.exists() or server.poll() is not None)
    assert server.poll() is None
    yield str(address)
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def built(once, command_server) -> Project:
    """A toy pipeline that Snakemake has built. Do not change it: ask for ``project``."""

    def build(folder: Path) -> None:
        project = Project.toy(folder, command_server)
        (folder / "work").mkdir()
        (folder / "work" / "first_run.txt").write_text(project.snakemake().text)
        project.run("git add -A && git -c user.name=t -c user.email=t@localhost commit -qm built")

    return Project(once("built", build), command_server)


@pytest.fixture(scope="session")
def first_run(built) -> Result:
    """What the command that built the pipeline has printed."""
    return Result(0, (built.folder / "work" / "first_run.txt").read_text())


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of the built pipeline."""
    return built.copy(tmp_path / "project")


@pytest.fixture
def unserved(project) -> Project:
    """A copy of the built pipeline in which each command is a process of its own, as users have it."""
    return dataclasses.replace(project, server="")
