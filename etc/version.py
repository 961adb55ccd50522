"""The version of this package."""

import importlib.metadata
import tomllib
from pathlib import Path


def version() -> str:
    """What pyproject.toml says beside this code; where there is none, the installed version."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    if pyproject.is_file():
        return tomllib.loads(pyproject.read_text())["project"]["version"]
    return importlib.metadata.version("etc-segmentation")
