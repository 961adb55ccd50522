"""The edge of every command: one line for whatever goes wrong, and nothing that a terminal would obey."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import etc
from etc.cli import main
from etc.commands.run import run
from etc.core.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    return tmp_path


def failing(error):
    def action():
        raise error

    return action


def fail(capsys, error):
    """The line that an error ends with."""
    with pytest.raises(SystemExit) as ended:
        run(failing(error))
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_an_unexpected_error_is_one_line_and_a_log_in_the_project(folder, capsys):
    (folder / "dvc.yaml").touch()
    line = fail(capsys, ZeroDivisionError("never\nexpected"))
    (log,) = folder.glob("logs/error-*.log")
    assert line == f"error: unexpected ZeroDivisionError: never (traceback: {log.relative_to(folder)})"
    assert log.read_text().startswith("Traceback") and "in action" in log.read_text()


@pytest.mark.parametrize("project", [True, False])
def test_elsewhere_and_where_the_project_cannot_be_written_the_log_is_a_temporary_file(folder, capsys, project):
    if project:
        (folder / "dvc.yaml").touch()
        (folder / "logs").touch()
    line = fail(capsys, RecursionError())
    (log,) = folder.glob("temporary/error-*.log")
    assert line == f"error: unexpected RecursionError: RecursionError (traceback: {log})"


def test_without_a_temporary_folder_the_line_remains(capsys, monkeypatch):
    def full():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("tempfile.gettempdir", full)
    assert fail(capsys, KeyError("x")) == (
        "error: unexpected KeyError: 'x' (its traceback could not be written anywhere)"
    )


def test_too_little_memory_is_said(folder, capsys):
    assert fail(capsys, MemoryError()).startswith("error: not enough memory: use a smaller batch")


HOSTILE = "a\x1b[2Jb\nc\x9bd\u202ee\udcff"
SHOWN = r"a\x1b[2Jb\nc\x9bd\u202ee\udcff"


def test_control_characters_of_names_are_shown_as_escapes(capsys):
    assert fail(capsys, UserError(f"{HOSTILE}: no such file")) == f"error: {SHOWN}: no such file"
    assert SHOWN in fail(capsys, RuntimeError(HOSTILE.replace("\n", r"\n")))


def test_output_keeps_its_lines_but_nothing_that_a_terminal_obeys(capsys):
    def action():
        print(f"{HOSTILE}\tend")
        print("bar\r", end="", file=sys.stderr)

    run(action)
    assert capsys.readouterr() == (SHOWN.replace(r"\n", "\n") + "\tend\n", "bar\r")


def test_an_interrupted_command_ends_with_130(capsys):
    with pytest.raises(SystemExit) as ended:
        run(failing(KeyboardInterrupt()))
    assert ended.value.code == 130


def test_errors_while_a_command_is_loaded_are_one_line_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["etc", "networks"])
    monkeypatch.setitem(sys.modules, "etc.networks", None)
    monkeypatch.delattr(etc, "networks", raising=False)  # another test may have loaded it
    with pytest.raises(SystemExit):
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unexpected ModuleNotFoundError: ")


def command(*arguments, **environment):
    return subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_too_few_addresses_are_refused_before_a_library_hangs_or_aborts():
    limited = f"ulimit -v 600000 && exec {sys.executable} -m etc check"
    done = command("bash", "-c", limited, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: memory is limited to 585 MB of addresses (`ulimit -v`); allow at least 1500 MB, for training more\n"
    )


@pytest.mark.parametrize("module", ["etc", "etc.cli"])
def test_the_package_is_the_command(module):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    done = command(sys.executable, "-m", module, "--version", PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout) == (0, f"etc {version}\n")


def copy(folder):
    """A copy of the project with other code, as `dvc exp run --queue` makes one."""
    shutil.copytree(ROOT / "etc", folder / "etc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    path = folder / "etc/stages/check.py"
    path.write_text(path.read_text().replace("params/ is in order", "the copy is in order"))
    shutil.copytree(ROOT / "params", folder / "params")


# The command that is installed, with the package of this checkout.
INSTALLED = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from etc.cli import main; main()"


def test_in_a_copy_of_the_project_the_code_of_the_copy_runs(folder):
    copy(folder)
    done = command(sys.executable, "-P", "-c", INSTALLED, "check", PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout) == (0, "the copy is in order; data sets: street\n"), done.stderr
    (folder / "dvc.yaml").unlink()
    done = command(sys.executable, "-P", "-c", INSTALLED, "check", PYTHONPATH=str(ROOT))
    assert done.stdout == "params/ is in order; data sets: street\n"


def test_a_python_that_cannot_run_the_copy_says_so_and_does_not_try_for_ever(folder):
    copy(folder)
    done = command(sys.executable, "-P", "-c", INSTALLED, "check", PYTHONPATH=str(folder))
    assert done.returncode == 1 and "this folder has a package 'etc' of its own" in done.stderr
    assert len(done.stderr.splitlines()) == 1
