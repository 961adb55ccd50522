"""A project that has not run, for the commands that look into one."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.training import toy

ROOT = Path(__file__).parents[2]
PLAN = {
    "run": ["street"],
    "architectures": ["pspnet18"],
    "seeds": [0, 1],
    "plain": ["baseline"],
    "distilled": ["etc"],
    "ablation": {"schemes": [], "seeds": [0]},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that has not run, of small trainings, as in an unpacked archive."""
    for name in ("CITYSCAPES_DATASET", "ETC_ROOT_CAMVID", "ETC_PORTABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ETC_DATA", str(tmp_path / "fetched"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "params", "params")
    shutil.copytree(ROOT / "etc", "etc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", ".")
    Path("params/experiment.yaml").write_text(yaml.safe_dump(PLAN))
    for stage in ("labeller", "pretrain", "teacher", "student"):
        toy.write_params(tmp_path, stage, {})
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = True\n    analytics = False\n")
    return tmp_path
