"""Giving a data set its blocks in all parameter files, by copying those of another one."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from etc.adoption import networks
from etc.adoption.block_text import NotAsTextError, with_block, with_values
from etc.adoption.changes import Values, changes, look_at
from etc.adoption.newcomer import Newcomer, class_names, is_labelled, spacing
from etc.core.errors import UserError
from etc.core.files import atomic
from etc.core.params_file import blocks
from etc.params import experiment as data
from etc.params import frames, labeller, pretrain, student, teacher
from etc.params.check import PER_DATASET, check_all, check_dataset

MODULES = tuple(module for module in PER_DATASET if module is not frames)


class Added(NamedTuple):
    """A block that was added: its file, what differs from the copied one, and what to look at."""

    path: Path
    changed: Values
    look_at: Values


def adopt(name: str, like: str, networks_of: str | None, choose: bool) -> list[Added]:
    """Add the blocks of a data set to all parameter files but frames.yaml, which has one already.

    Args:
        name: data set; it has a block in params/frames.yaml.
        like: data set whose blocks are copied.
        networks_of: data set whose trained networks are taken; None: those of ``like`` for data without labels, none
            for data with labels.
        choose: also make it the only data set that params/data.yaml runs.

    Raises:
        UserError: a name is wrong, blocks are there already, or the new ones would not do; no file is changed then.
    """
    if not re.fullmatch(data.NAME, name):
        raise UserError(f"{name}: use lower-case letters, digits and '_' alone in the name of a data set")
    settings = frames.load(name)
    _check_blocks(name, like)
    experiment = data.load()
    copied = {module: module.load(like) for module in MODULES}
    labelled = is_labelled(settings)
    classes = class_names(name, settings)
    given = None
    if networks_of or not labelled:
        given = networks.find(networks_of or like, name, classes, experiment, copied[teacher], copied[student])
    elif copied[labeller].checkpoint or copied[pretrain].checkpoint:
        raise UserError(
            f"--like {like}: it takes trained networks, but '{name}' has labels to train on; choose a data set with "
            "labels, or take trained networks for it too, with --networks-of"
        )
    weighs = labelled and classes == class_names(like, frames.load(like))
    newcomer = Newcomer(settings.source, labelled, spacing(settings), weighs, given)
    texts, added = {}, []
    for module in MODULES:
        path, before = module.PATH, _text(module.PATH)
        block = yaml.safe_load(before)[like]
        changed = changes(path.name, block, newcomer)
        heading = f"Like {like}, by `etc adopt`. Keys as explained above."
        texts[path] = _edited(path, partial(with_block, before, like, name, heading, changed))
        added.append(Added(path, changed, look_at(path.name, block, changed)))
    if choose:
        texts[data.PATH] = _edited(data.PATH, partial(with_values, _text(data.PATH), {("run",): [name]}))
    _write(texts, lambda: check_all() if choose else check_dataset(experiment, name))
    return added


def _check_blocks(name: str, like: str) -> None:
    """``name`` has no block but the one in frames.yaml, ``like`` has all."""
    known = {module.PATH: blocks(module.PATH) for module in PER_DATASET}
    there = [str(path) for path, names in known.items() if name in names and path != frames.PATH]
    if there:
        raise UserError(f"{', '.join(there)}: there is a block '{name}' already; to make new ones remove it there")
    for path, names in known.items():
        if like not in names or like == name:
            others = ", ".join(one for one in names if one != name)
            raise UserError(f"--like {like}: {path} has no such block to copy; choose one of {others}")


def _text(path: Path) -> str:
    # Not read_text: it would turn the line ends of Windows into others.
    return path.read_bytes().decode("utf-8")


def _edited(path: Path, edit: Callable[[], str]) -> str:
    try:
        return edit()
    except NotAsTextError as error:
        raise UserError(f"{path}: cannot be changed by a command ({error}); add the block by hand") from error


def _write(texts: Mapping[Path, str], check: Callable[[], Any]) -> None:
    """Write all files; put them back as they were when one cannot be written or the check fails."""
    before = {path: path.read_bytes() for path in texts}
    try:
        for path, text in texts.items():
            _replace(path, text.encode("utf-8"))
        check()
    except BaseException as error:
        for path, content in before.items():
            if path.read_bytes() != content:
                _replace(path, content)
        if isinstance(error, UserError):
            raise UserError(f"{error}; params/ is as it was") from error
        raise


def _replace(path: Path, content: bytes) -> None:
    with atomic(path) as stream:
        stream.write(content)
