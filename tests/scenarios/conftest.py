"""One toy pipeline is built once; each scenario works on its own copy."""

import pytest

from tests.scenarios.project import Project


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/scenarios" in str(item.path):
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A toy pipeline that Snakemake has built. Do not change it: ask for ``project``."""
    project = Project.toy(tmp_path_factory.mktemp("built") / "project")
    result = project.snakemake()
    project.first_run = result
    project.run("git add -A && git -c user.name=t -c user.email=t@localhost commit -qm built")
    return project


@pytest.fixture
def project(built, tmp_path):
    """A copy of the built pipeline."""
    return built.copy(tmp_path / "project")
