"""``etc quick``: a first look at a data set, two students of one short chain, before hours go into the experiment.

The stages are those of dvc.yaml. They run in a folder of their own below ``work/``, with the project's code and the
parameters of the data set, but few optimiser steps, so that neither ``params/`` nor ``dvc.lock`` of the project change.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from etc.core.errors import UserError
from etc.core.files import atomic, read_text
from etc.core.params_file import parse
from etc.models.names import INSTALLED
from etc.params import check, experiment, student
from etc.pipeline import lockfile, recovery
from etc.pipeline.graph import DEFINITION, search_path
from etc.reporting.tables import terminal_table

BASELINE, TRAINED = "baseline", "tl"
SEED = 0
# Keys that may name a file or folder of the user; a relative one is meant from the project's folder.
_PATHS = ("root", "path", "checkpoint", "backbone")
_DVC = "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
_NOTE = f"A short training; only the two rows '{BASELINE}' and '{TRAINED}', of equal length, may be compared."


def run(dataset: str, steps: int) -> str:
    """Train and judge the two students; return their table, and where the rest is.

    A killed run continues where it was. What has been made for the same parameters is not made again.

    Args:
        dataset: a data set that has its blocks in all files of params/; it need not be in ``run``.
        steps: optimiser steps of each training.

    Raises:
        UserError: as for :func:`prepare`, or a stage has failed.
    """
    folder = prepare(dataset, steps)
    with contextlib.chdir(folder):
        recovery.wait_for_others()
        lockfile.restore()
        if subprocess.run(["dvc", "repro", f"report@{dataset}"], env=_environment()).returncode:
            raise UserError(f"a stage has failed in {folder}, see above; the same command continues from there")
        (student_of_tl,) = [one for one in experiment.load().runs() if one.scheme == TRAINED]
    results = folder / "results" / dataset
    table = terminal_table(pd.read_csv(results / "tables/schemes.csv"))
    network = folder / "data" / dataset / student_of_tl.folder
    return f"{table}\n{_NOTE}\n  page     {results / 'index.html'}\n  network  {network}"


def prepare(dataset: str, steps: int) -> Path:
    """Make the folder in which the stages can run, or bring its parameters up to date; return it.

    Args:
        dataset: name of the data set.
        steps: optimiser steps of each training.

    Raises:
        UserError: a block is missing or wrong, or lacks one of the schemes.
    """
    # No data set can have this name, whose scratch folder it would be.
    folder = Path("work", f"quick-{dataset}")
    for module in check.PER_DATASET:
        check.load_block(module, dataset)
    plan = shortened_plan(dataset, student.load(dataset))
    blocks = {module.PATH: shortened(_block(module.PATH, dataset), steps) for module in check.PER_DATASET}
    for place in (".dvc", "data", "params"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for name in (DEFINITION, ".dvcignore"):
        shutil.copy(name, folder)
    if not (folder / "etc").is_symlink():
        (folder / "etc").symlink_to(Path("etc").resolve())
    _write(folder / ".dvc/config", _DVC)
    _write(folder / experiment.PATH, yaml.safe_dump(plan, sort_keys=False))
    for path, block in blocks.items():
        _write(folder / path, yaml.safe_dump({dataset: block}, sort_keys=False))
    with contextlib.chdir(folder):
        check.check_all()
    return folder


def shortened_plan(dataset: str, students: student.StudentParams) -> dict[str, Any]:
    """The content of params/experiment.yaml for the first network of a data set, one seed and the two schemes.

    Raises:
        UserError: the block has not both schemes.
    """
    for scheme in (BASELINE, TRAINED):
        if scheme not in students.schemes:
            raise UserError(f"{student.PATH}: key '{dataset}.schemes': `etc quick` needs the scheme '{scheme}'; add it")
    return {
        "run": [dataset],
        "architectures": [next(iter(students.widths))],
        "seeds": [SEED],
        "plain": [BASELINE, TRAINED],
        "distilled": [],
        "ablation": {"schemes": [], "seeds": [SEED]},
    }


def shortened(block: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """A block of any file with few steps of training, flow to the next frame alone and pseudo-labels at one scale.

    Args:
        block: of a file of params/.
        steps: most optimiser steps.
    """
    short = _with_absolute_paths(block)
    if "training" in short:
        training = short["training"]
        training["iterations"] = min(steps, training["iterations"])
        training["warmup"] = min(training["warmup"], training["iterations"] // 5)
        training |= {"judge_every": None, "keep": "last"}
    if "partner_reach" in short.get("sampling", {}):
        short["sampling"]["partner_reach"] = 1
    if "compare" in short and "baseline" in short:
        short |= {"baseline": BASELINE, "compare": [TRAINED]}
    if "scales" in short:
        short["scales"] = [1.0]
    if "iterations_factor" in short:
        short["iterations_factor"] = {}
    if isinstance(short.get("train"), dict) and "max_offset" in short["train"]:
        short["train"]["max_offset"] = 1
    return short


def _with_absolute_paths(block: Mapping[str, Any]) -> dict[str, Any]:
    copied = {}
    for key, value in block.items():
        if isinstance(value, Mapping):
            value = _with_absolute_paths(value)
        elif key in _PATHS and value not in (None, INSTALLED):
            value = str(Path(value).expanduser().absolute())
        copied[key] = value
    return copied


def _block(path: Path, dataset: str) -> Mapping[str, Any]:
    return parse(read_text(path), path)[dataset]


def _environment() -> dict[str, str]:
    """That of this process, with the PATH for jobs and with absolute folders of data sets."""
    own = {
        name: str(Path(value).expanduser().absolute())
        for name, value in os.environ.items()
        if value and name.startswith(("ETC_ROOT_", "CITYSCAPES_DATASET"))
    }
    return {**os.environ, **own, "PATH": search_path()}


def _write(path: Path, text: str) -> None:
    with atomic(path, "w") as stream:
        stream.write(text)
