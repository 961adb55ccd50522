"""On which clips consistency is measured: all, a fixed random share, or a given list."""

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

from etc.core.errors import UserError, many
from etc.core.files import read_text

# Lists shipped with the package, in etc/evaluation/assets.
BUNDLED = ("cityscapes_tc",)

_ANNOTATED = re.compile(r"(?P<video>.+_\d{6})_(?P<frame>\d{6})")


class Snippet(NamedTuple):
    """A Cityscapes clip of 30 frames around its annotated frame.

    Attributes:
        video: ``{city}_{sequence}``.
        first, last: numbers of the first and the last frame.
    """

    video: str
    first: int
    last: int


def snippet(name: str) -> Snippet | None:
    """The clip of an annotated Cityscapes frame ``{city}_{sequence}_{frame}``, its 20th; None for other names."""
    found = _ANNOTATED.fullmatch(name)
    return Snippet(found["video"], int(found["frame"]) - 19, int(found["frame"]) + 10) if found else None


def random_share(names: Iterable[str], share: float, seed: int) -> list[str]:
    """A fixed random share of the clips (at least one), sorted; it does not depend on the order of ``names``."""
    names = sorted(names)
    if not names:
        return []
    count = max(1, round(share * len(names)))
    return sorted(np.random.default_rng(seed).choice(names, count, replace=False).tolist())


def clip_list(source: str) -> list[str]:
    """Clip names of a bundled list, or of a text file with one name a line; ``#`` starts a comment.

    Raises:
        UserError: the list or file does not exist, is not text, is empty, or names a clip twice.
    """
    try:
        if source in BUNDLED:
            text = resources.files("etc.evaluation").joinpath("assets", f"{source}.txt").read_text(encoding="utf-8")
        else:
            text = read_text(source).removeprefix("\ufeff")  # which editors on Windows write
    except FileNotFoundError as error:
        raise UserError(
            f"{source}: neither a bundled list of clips ({', '.join(BUNDLED)}) nor a text file of clip names"
        ) from error
    return checked_list([line.split("#")[0].strip() for line in text.splitlines()], source)


def checked_list(names: Iterable[str], source: str) -> list[str]:
    """The names without empty ones.

    Raises:
        UserError: no name is left, or one is repeated.
    """
    names = [name for name in names if name]
    if not names:
        raise UserError(f"{source}: names no clip")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{source}: names clip {repeated[0]} twice")
    return names


def select(names: Iterable[str], wanted: Sequence[str], source: str) -> list[str]:
    """The wanted clips, sorted.

    Raises:
        UserError: one of them is not among ``names``.
    """
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise UserError(
            f"{source}: {len(missing)} of {many(len(wanted), 'clip was', 'clips were')} not found, e.g. {missing[0]}"
        )
    return sorted(wanted)
