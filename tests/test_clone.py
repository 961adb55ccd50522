"""A clone has the committed bytes, whatever the user's Git does to line ends: else every stage would be due."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def git(folder, *arguments, **options):
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, **options)
    return done.stdout


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a Git repository")
@pytest.mark.parametrize("conversion", ["true", "input", "false"])
def test_line_ends_are_those_of_the_index(tmp_path, conversion):
    git(
        tmp_path,
        "clone",
        "--quiet",
        "--config",
        f"core.autocrlf={conversion}",
        "--config",
        "core.eol=crlf",
        ROOT,
        "clone",
    )
    clone = tmp_path / "clone"
    entries = [line.split("\t") for line in git(clone, "ls-tree", "-r", "HEAD").splitlines()]
    committed = {path: about.split()[2] for about, path in entries}
    assert {"dvc.yaml", "etc/cli.py", "params/student.yaml", "results/street/plots/overlay.webp"} <= committed.keys()
    paths = "".join(f"{path}\n" for path in committed)
    found = git(clone, "hash-object", "--no-filters", "--stdin-paths", input=paths).split()
    assert dict(zip(committed, found, strict=True)) == committed
    assert not git(clone, "status", "--porcelain")


@pytest.mark.parametrize("name", ["plots/strip.png", "plots/overlay.webp", "video/0016E5.mp4", "index.html"])
def test_pictures_of_foreign_frames_stay_out_of_git(name):
    for dataset, ignored in (("camvid", True), ("walk", True), ("street", False)):
        done = subprocess.run(["git", "check-ignore", "-q", "--no-index", f"results/{dataset}/{name}"], cwd=ROOT)
        if done.returncode > 1:
            pytest.skip("no git repository")
        assert (done.returncode == 0) == ignored
