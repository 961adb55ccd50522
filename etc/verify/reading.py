"""What there is to compare: the committed side from git, this side from the disk, as DVC sees it."""

import contextlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from dvc.utils.flatten import flatten

from etc.core.errors import UserError, first_line
from etc.core.files import read_json, read_text
from etc.core.progress import track
from etc.pipeline import committed, lockfile
from etc.verify import machine
from etc.verify.locks import Stages


def committed_lock(revision: str) -> Stages:
    """The stages that a revision's dvc.lock records.

    Raises:
        UserError: it has none, or a damaged one.
    """
    content = committed.show(revision, lockfile.LOCK)
    if content is None:
        raise UserError(f"{lockfile.LOCK}: not in revision {revision[:7]}; name one that has results with --against")
    stages = lockfile.stages(content)
    if stages is None:
        raise UserError(f"{lockfile.LOCK} of revision {revision[:7]}: damaged; name another one with --against")
    return stages


def workspace_lock() -> Stages:
    """The stages that the dvc.lock on disk records; none without the file.

    Raises:
        UserError: it is damaged.
    """
    if not lockfile.LOCK.exists():
        return {}
    content = lockfile.LOCK.read_bytes()
    stages = lockfile.stages(content)
    if stages is None and b"<<<<<<<" in content:
        raise UserError(f"{lockfile.LOCK}: half merged; choose a side with `git checkout --ours` or `--theirs`")
    if stages is None:
        raise UserError(f"{lockfile.LOCK}: damaged; `etc check` puts the last good one back")
    return stages


def wrong_on_disk(datasets: Collection[str]) -> dict[str, list[str]]:
    """For each stage of these data sets, and of none, what DVC calls changed since it ran; hashes what is new.

    Raises:
        UserError: a stage runs at this moment, or DVC cannot read the project.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        repo = Repo(os.curdir, _wait_for_lock=True)
        with repo.lock:
            stages = [one for one in repo.index.stages if _concerns(one.addressing, datasets)]
            if not stages:
                raise UserError(f"dvc.yaml: no stages of {', '.join(datasets)}; restore it with git")
            return {one.addressing: _wrong(one) for one in track(stages, len(stages), "stages")}
    except LockError as error:
        raise UserError("a stage runs here at this moment; verify when it has ended") from error
    except DvcException as error:
        raise UserError(f"DVC cannot read this project: {first_line(error)}; see `dvc status`") from error


def not_portable(lock: Stages, names: Collection[str]) -> list[str]:
    """Those of some stages whose outputs say that they were made without the settings of :mod:`etc.core.portable`."""
    found = []
    for name in names:
        for path in (Path(one["path"]) for one in lock[name].get("outs", ())):
            with contextlib.suppress(UserError):
                said = read_json(path if path.name == "config.json" else path / "made.json")
                if isinstance(said, dict) and said.get("portable") is False:
                    found.append(name)
    return found


def stale(revision: str, lock: Stages, dataset: str) -> list[str]:
    """Results of a data set on disk that git has with another content; those that git does not have are left out."""
    folder = Path("results") / dataset
    paths = [Path(one["path"]) for stage in lock.values() for one in stage.get("outs", ())]
    files = [path for path in paths if folder in path.parents and path.is_file()]
    return [str(path) for path in files if committed.show(revision, path) not in (None, path.read_bytes())]


def tables(revision: str, dataset: str) -> dict[str, tuple[str, str]]:
    """The committed tables of a data set and those on disk, CSV, by name of the file.

    Raises:
        UserError: nothing is committed, or one is missing on disk.
    """
    folder = Path("results") / dataset / "tables"
    names = [name for name in committed.names(revision, folder) if name.endswith(".csv")]
    if "schemes.csv" not in names:
        raise UserError(f"{folder}/schemes.csv: not in revision {revision[:7]}; name one that has it with --against")
    pairs = {}
    for name in names:
        old = committed.show(revision, folder / name) or b""
        try:
            pairs[name] = old.decode("utf-8", errors="replace"), read_text(folder / name)
        except FileNotFoundError as error:
            raise UserError(f"{folder / name}: no such file; run `make results`") from error
    return pairs


def committed_machine(revision: str, dataset: str) -> dict[str, Any]:
    """What the committed results were made by; without a record, the locked packages."""
    content = committed.show(revision, Path("results") / dataset / machine.RECORD)
    try:
        record = dict(json.loads(content or b"{}")) or {"packages": _locked(revision)}
        problem = "" if _is_record(record) else "not a record of a machine"
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"not JSON ({first_line(error)})"
    if problem:
        raise UserError(
            f"results/{dataset}/{machine.RECORD} of revision {revision[:7]}: {problem}; "
            "write it again with --record and commit it"
        )
    return record


def _is_record(found: dict[str, Any]) -> bool:
    """Whether all that is shown is text, in blocks where there are blocks."""
    blocks = [found[part] for part in ("packages", "settings") if found.get(part) is not None]
    if not all(isinstance(block, dict) for block in blocks):
        return False
    shown = [found[key] for key in ("cpu", "system", "libc", "python") if key in found]
    return all(isinstance(text, str) for text in [*shown, *(text for block in blocks for text in block.values())])


def _locked(revision: str) -> dict[str, str]:
    return machine.pins((committed.show(revision, machine.REQUIREMENTS) or b"").decode(errors="replace"))


def _concerns(stage: str, datasets: Collection[str]) -> bool:
    """Whether a stage is of one of the data sets or, like the check of params/, of all."""
    _, _, item = stage.partition("@")
    return item == "params" or item.partition("-")[0] in datasets


def _wrong(stage: Any) -> list[str]:
    """DVC's status of a stage, a short text for each file or parameter."""
    cached = [out for out in stage.outs if out.use_cache]
    if cached and not any(out.exists for out in cached):
        return ["has not run here"]
    # Words, or groups of paths with what DVC says of them; of parameters, of each key.
    parts = stage.status().get(stage.addressing, [])
    groups = [group for part in parts for group in (part.values() if isinstance(part, dict) else [{part: ""}])]
    return [f"{path} {what}".strip() for group in groups for path, what in flatten(group).items()]
