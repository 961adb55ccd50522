"""README and docs/results.md show the committed results, and the hash by which a user can compare them."""

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


def test_the_page_of_results_has_the_committed_table_and_its_hash():
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    table = committed("results/street/tables/schemes.md").decode()
    assert table[table.index("| architecture") :].strip() in page
    assert hashlib.md5(committed("results/street/tables/schemes.csv")).hexdigest() in page


def rows(dataset, *names):
    """The first three rows of a committed table, in some of its columns."""
    table = committed(f"results/{dataset}/tables/schemes.md").decode()
    head, rule, *rows = [line.split("|") for line in table[table.index("| architecture") :].strip().splitlines()]
    columns = [head.index(f" {name} ") for name in names]
    return "\n".join("|".join(["", *(row[column] for column in columns), ""]) for row in (head, rule, *rows[:3]))


def test_the_readme_has_three_rows_of_it_and_is_short():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert rows("street", "scheme", "mIoU", "TC", "ΔTC", "ΔmIoU") in readme
    assert len(readme.splitlines()) <= 120


def test_what_is_said_of_camvid_is_in_its_table():
    short = rows("camvid", "scheme", "mIoU", "agreement", "Δagreement", "ΔmIoU")
    long = rows("camvid", "scheme", "mIoU", "TC", "TC frequent", "agreement", "ΔTC", "Δagreement", "ΔmIoU")
    assert short in (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert long in (ROOT / "docs/camvid.md").read_text(encoding="utf-8")
