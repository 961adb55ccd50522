"""``etc --help`` starts at once: it loads no large package."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "cv2", "pandas", "dvc", "snakemake", "rich", "pydantic")
LOADED = f"""
import sys
import etc.cli
try:
    etc.cli.app(sys.argv[1:], prog_name="etc")
finally:
    print("loaded:", *[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_no_large_package_is_loaded(arguments):
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_every_command_says_in_a_few_words_what_it_does():
    done = subprocess.run([sys.executable, "-m", "etc", "--help"], capture_output=True, text=True, timeout=60)
    listed = done.stdout.partition("Commands:")[2].splitlines()
    # A sentence that is too long for a narrow terminal is cut.
    assert len(listed) > 15 and not [line for line in listed if line.endswith("...")]
