"""Every stage depends on exactly the code that it imports: no needless re-run, no forgotten one."""

import pytest
import yaml

from tests.closure import ROOT, dependencies, import_closure, stage_dependencies, with_dependencies

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_what_it_imports(name):
    declared = [path for path in STAGES[name]["deps"] if path.startswith("etc/")]
    assert declared == stage_dependencies(ROOT, STAGES[name]), f"'{name}' in dvc.yaml: run `make deps`"


def test_dependencies_of_dvc_yaml_are_written_in_place():
    text = (ROOT / "dvc.yaml").read_text()
    old = text.replace("      etc/__init__.py, ", "      etc/unused.py,\n      etc/__init__.py, ")
    assert old != text
    assert with_dependencies(old) == text


@pytest.fixture
def package(tmp_path):
    package = tmp_path / "etc"
    for name in ("sub/templates", "other"):
        (package / name).mkdir(parents=True)
    for name in ("__init__.py", "sub/__init__.py", "other/__init__.py"):
        (package / name).touch()
    (package / "a.py").write_text("def f():\n    from etc.sub import b\n")
    (package / "sub/b.py").write_text('import os\nimport etc.c\nFOLDER = "templates"\n')
    (package / "sub/templates/page.html").write_text("read, not imported")
    (package / "c.py").write_text("'''used'''")
    (package / "other/unused.py").write_text("'''unused'''")
    return tmp_path


def test_closure_follows_nested_and_submodule_imports(package):
    closure = import_closure(package, "etc/a.py")
    assert closure == {"etc/a.py", "etc/sub/b.py", "etc/sub/templates/page.html", "etc/c.py"}


def test_folder_stands_for_its_files_when_all_are_used(package):
    closure = import_closure(package, "etc/a.py")
    assert dependencies(package, closure) == ["etc/a.py", "etc/c.py", "etc/sub"]
    (package / "etc/sub/d.py").write_text("'''unused'''")
    assert dependencies(package, closure) == ["etc/a.py", "etc/c.py", "etc/sub/b.py", "etc/sub/templates"]
