"""The version of this package."""

import importlib.metadata
import tomllib
from pathlib import Path


def version() -> str:
    """That of the checkout that the code lies in, else of the installed package; else ``unknown``, as for a copy."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    if pyproject.is_file():
        return tomllib.loads(pyproject.read_text())["project"]["version"]
    try:
        return importlib.metadata.version("etc-segmentation")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
