"""What a stage's code is: every file of this project that it imports, found by reading the source, not by importing.

``python -m tests.closure`` (``make deps``) writes it into dvc.yaml, folders in place of all their files.
"""

import ast
import re
import textwrap
from pathlib import Path

import yaml

PACKAGE = "etc"
WIDTH = 120
ROOT = Path(__file__).parent.parent


def import_closure(root: Path, entry: str) -> set[str]:
    """All project files that ``entry`` and the package itself import, directly or not, at the top or inside functions.

    Args:
        root: folder that holds the package.
        entry: file, relative to ``root``.

    Returns:
        Paths relative to ``root``, ``entry`` included, empty ``__init__.py`` files left out. Files that are no modules,
        such as templates, belong to the modules beside their folder that name it.
    """
    found: set[str] = set()
    waiting = [entry, *_files(root, PACKAGE)]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += _imports(root, path)
    read = {path for path in files(root, PACKAGE) if not path.endswith(".py") and _readers(root, path) & found}
    return {path for path in found if (root / path).stat().st_size} | read


def files(root: Path, folder: str) -> set[str]:
    """All files of a folder that can matter, relative to ``root``: not the empty ones, nor what Python leaves there."""
    found = (path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix() for path in found if path.stat().st_size}


def dependencies(root: Path, closure: set[str], folder: str = PACKAGE) -> list[str]:
    """The shortest sorted list of files and folders that holds exactly ``closure``."""
    if files(root, folder) <= closure:
        return [folder]
    listed = []
    for path in sorted((root / folder).iterdir()):
        name = path.relative_to(root).as_posix()
        if path.is_dir() and files(root, name) & closure:
            listed += dependencies(root, closure, name)
        elif name in closure:
            listed.append(name)
    return listed


def stage_dependencies(root: Path, stage: dict) -> list[str]:
    """What a stage of dvc.yaml must list of the package: the closure of the module of its command."""
    command = stage["cmd"].split()[1]
    return dependencies(root, import_closure(root, f"etc/stages/{command.replace('-', '_')}.py"))


def with_dependencies(text: str, root: Path = ROOT) -> str:
    """The text of a dvc.yaml with the right code in every list of dependencies; all other lines stay as they are."""
    listed = re.compile(rf"(?:^      {PACKAGE}/.*\n)+", re.M)
    stages = yaml.safe_load(text)["stages"]
    # Cut before each stage's name; the first piece is what stands before the stages.
    head, *pieces = re.split(r"^(?=  \w+:)", text, flags=re.M)
    for number, piece in enumerate(pieces):
        stage = stages[piece.split(":")[0].strip()]
        code = ", ".join(stage_dependencies(root, stage)) + ","
        pieces[number] = listed.sub(textwrap.indent(textwrap.fill(code, WIDTH - 6), " " * 6) + "\n", piece)
    return head + "".join(pieces)


def _readers(root: Path, path: str) -> set[str]:
    """The modules that read a file: those beside its folder that have the folder's name in quotes."""
    folder = (root / path).parent
    beside = [
        module for module in folder.parent.glob("*.py") if f'"{folder.name}"' in module.read_text(encoding="utf-8")
    ]
    return {module.relative_to(root).as_posix() for module in beside}


def _imports(root: Path, path: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [file for name in names if name.split(".")[0] == PACKAGE for file in _files(root, name)]
    return found


def _files(root: Path, name: str) -> list[str]:
    stem = name.replace(".", "/")
    return [path for path in (f"{stem}.py", f"{stem}/__init__.py") if (root / path).exists()]


if __name__ == "__main__":
    definition = ROOT / "dvc.yaml"
    definition.write_text(with_dependencies(definition.read_text(encoding="utf-8")), encoding="utf-8")
