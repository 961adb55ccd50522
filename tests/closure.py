"""What a module imports from this project, found by reading the source: nothing is imported to find out."""

import ast
from pathlib import Path

PACKAGE = "etc"


def import_closure(root: Path, entry: str) -> set[str]:
    """All project files that ``entry`` imports, directly or not, at the top or inside functions.

    Args:
        root: folder that holds the package.
        entry: file, relative to ``root``.

    Returns:
        Paths relative to ``root``, ``entry`` included, empty ``__init__.py`` files left out.
    """
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += _imports(root, path)
    return {path for path in found if not path.endswith("__init__.py") or (root / path).stat().st_size}


def _imports(root: Path, path: str) -> list[str]:
    files = []
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        files += [file for name in names if name.split(".")[0] == PACKAGE for file in _files(root, name)]
    return files


def _files(root: Path, name: str) -> list[str]:
    stem = name.replace(".", "/")
    return [path for path in (f"{stem}.py", f"{stem}/__init__.py") if (root / path).exists()]
