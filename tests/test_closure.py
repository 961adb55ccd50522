"""Every stage depends on exactly the code that it imports: no needless re-run, no forgotten one."""

from pathlib import Path

import pytest
import yaml

from tests.closure import import_closure

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def declared_code(stage: dict) -> set[str]:
    """Project files under etc/ that the stage lists, folders expanded."""
    files = set()
    for dependency in stage["deps"]:
        if not dependency.startswith("etc/"):
            continue
        path = ROOT / dependency
        assert path.exists(), f"{dependency} is listed in dvc.yaml but does not exist"
        found = path.rglob("*") if path.is_dir() else [path]
        files |= {
            str(one.relative_to(ROOT))
            for one in found
            if one.is_file() and "__pycache__" not in one.parts and one.stat().st_size
        }
    return files


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_what_it_imports(name):
    command = STAGES[name]["cmd"].split()[1]
    entry = f"etc/stages/{command.replace('-', '_')}.py"
    imported = import_closure(ROOT, entry)
    # Templates and lists are read, not imported.
    read = {
        "frames": "etc/datasets/camvid/assets",
        "report": "etc/reporting/templates",
        "evaluate": "etc/evaluation/assets",
    }
    if command in read:
        imported |= {str(path.relative_to(ROOT)) for path in (ROOT / read[command]).iterdir()}
    declared = declared_code(STAGES[name])
    missing, needless = sorted(imported - declared), sorted(declared - imported)
    assert not missing, f"add to deps of '{name}' in dvc.yaml: {missing}"
    assert not needless, f"remove from deps of '{name}' in dvc.yaml: {needless}"


def test_closure_follows_nested_and_submodule_imports(tmp_path):
    package = tmp_path / "etc"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "sub/__init__.py").touch()
    (package / "a.py").write_text("def f():\n    from etc.sub import b\n")
    (package / "sub/b.py").write_text("import os\nimport etc.c\n")
    (package / "c.py").write_text("")
    (package / "unused.py").write_text("")
    assert import_closure(tmp_path, "etc/a.py") == {"etc/a.py", "etc/sub/b.py", "etc/c.py"}
