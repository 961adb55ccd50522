"""The README shows the committed results, and the hash by which a user can compare them."""

import hashlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def committed(path):
    done = subprocess.run(["git", "-C", ROOT, "show", f"HEAD:{path}"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no git repository")
    return done.stdout


def test_the_readme_has_the_committed_table_and_its_hash():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = committed("results/street/tables/schemes.md").decode()
    assert table[table.index("| architecture") :].strip() in readme
    assert hashlib.md5(committed("results/street/tables/schemes.csv")).hexdigest() in readme
