"""The same bytes on other processors, and whatever the environment of a process is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from etc.core import portable
from etc.workers import Workers

ROOT = Path(__file__).parents[2]
EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())
CLIPS = ["train:0", "dev:0", "test:0"]
QEMU = shutil.which("qemu-x86_64")
LOADED = "from etc.core import portable; print(portable.IN_FORCE)"


def python(*arguments, before=(), **environment):
    """Standard output of a Python process in which nothing of this one's settings is left."""
    ours = {**portable.SETTINGS, **portable.ALWAYS}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    kept |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    command = [*before, sys.executable, *arguments]
    done = subprocess.run(
        command, env={name: value for name, value in kept.items() if value is not None}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_settings_are_in_force_in_every_process_of_the_project():
    assert portable.IN_FORCE, "tests/conftest.py imports etc before NumPy"
    with Workers(2) as pool:
        assert list(pool.map(_in_force, range(2))) == [True, True]
    assert python("-c", LOADED) == "True\n"
    settings = python("-c", "import etc.cli, os; print(os.environ['MKL_CBWR'], os.environ['ONEDNN_MAX_CPU_ISA'])")
    assert settings == "COMPATIBLE AVX2\n"


def _in_force(_):
    return portable.IN_FORCE


@pytest.mark.parametrize("value", ["0", "false", "Off", " no "])
def test_a_variable_asks_for_the_fastest_kernels(value):
    assert python("-c", f"import os; {LOADED}; print('MKL_CBWR' in os.environ)", ETC_PORTABLE=value) == "False\nFalse\n"


@pytest.mark.parametrize("reader", portable.READERS)
def test_settings_that_come_too_late_are_not_in_force_but_hold_for_children(reader):
    child = f"subprocess.run([sys.executable, '-c', {LOADED!r}])"
    done = python("-c", f"import {reader}, subprocess, sys; {LOADED}; sys.stdout.flush(); {child}")
    assert done == "False\nTrue\n"


@pytest.mark.parametrize(
    ("flags", "in_force", "without_avx512"),
    [
        ("fma avx avx2 avx512f avx512vl", True, True),
        ("fma avx avx2", True, False),
        ("avx sse4_2", False, False),
        ("avx avx2", False, False),
        (None, True, True),
    ],
)
def test_what_the_processor_can_do_decides(flags, in_force, without_avx512, monkeypatch):
    text = f"processor\t: 0\nflags\t\t: {flags}\n" if flags else "no such line"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    monkeypatch.delenv("OPENCV_CPU_DISABLE", raising=False)
    monkeypatch.setattr(sys, "modules", {})
    assert portable.set_up() == in_force
    assert ("OPENCV_CPU_DISABLE" in os.environ) == without_avx512


def test_other_settings_are_overruled():
    numpy = f"{LOADED}; import numpy"
    assert python("-c", numpy, NPY_ENABLE_CPU_FEATURES="AVX2") == "True\n"
    assert python("-c", f"{LOADED}; import os; print(os.environ['MKL_CBWR'])", MKL_CBWR="AVX2") == "True\nCOMPATIBLE\n"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": None, "ATEN_CPU_CAPABILITY": "default"},
    ],
    ids=["plain", "two threads", "other time, place and settings"],
)
def test_the_bytes_are_the_committed_ones(environment, tmp_path):
    folder = tmp_path / "a b ä"
    folder.mkdir()
    assert json.loads(python("-m", "tests.portable.chain", str(folder), *CLIPS, **environment)) == EXPECTED


def test_frames_and_flow_are_equal_without_the_settings(tmp_path):
    made = json.loads(python("-m", "tests.portable.chain", str(tmp_path), *CLIPS, ETC_PORTABLE="0"))
    assert len(made) == 3 * len(CLIPS)
    assert made == {name: EXPECTED[name] for name in made}


@pytest.mark.skipif(QEMU is None, reason="needs qemu-x86_64 (Debian: qemu-user)")
@pytest.mark.parametrize("processor", ["Haswell", "EPYC"])
def test_another_processor_makes_the_same_bytes(processor, tmp_path):
    """An emulated one, without AVX-512; rendering takes longest there, so that one clip is enough."""
    made = json.loads(python("-m", "tests.portable.chain", str(tmp_path), CLIPS[0], before=[QEMU, "-cpu", processor]))
    assert made == {name: EXPECTED[name] for name in made}
    assert len(made) == len(EXPECTED) - 3 * (len(CLIPS) - 1)
