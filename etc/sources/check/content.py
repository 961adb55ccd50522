"""One file of a data set: its size, its checksum, and whether it is a complete picture of the right kind."""

import os
from functools import reduce
from typing import NamedTuple

import numpy as np

from etc.dataset import pictures
from etc.dataset.label_sets import IGNORE, LabelSet
from etc.dataset.manifest import checksum
from etc.dataset.pictures import PictureError


class Found(NamedTuple):
    """What one file holds: the columns from ``bytes`` on; a size of -1 and a time of 0 where it cannot be opened."""

    bytes: int
    modified: int
    checksum: str = ""
    width: int = 0
    height: int = 0
    deep: bool = False
    problem: str = ""
    detail: str = ""
    counts: list[int] | None = None


def look(path: str, kind: str, label_set: LabelSet, deep: bool) -> Found:
    """Look at one file.

    Args:
        path: of the file.
        kind: ``image`` or ``label``.
        label_set: how labels are read.
        deep: decode the pixels.
    """
    try:
        data, modified = _read(path)
    except PictureError as error:
        return unopened(error)
    if not data:
        return Found(0, modified, deep=deep, problem="empty")
    width = height = 0
    counts, problem, detail = None, "", ""
    wanted = "frame" if kind == "image" else label_set.kind
    try:
        header = pictures.check(data, path, wanted)
        width, height = pictures.upright_size(data, header)
        if deep:
            pixels = pictures.decode(data, path, wanted)
            height, width = pixels.shape[:2]
            if kind == "label":
                counts, problem, detail = _count(pixels, label_set)
    except PictureError as error:
        problem, detail = error.problem, error.detail
    return Found(len(data), modified, checksum(data), width, height, deep, problem, detail, counts)


def _read(path: str) -> tuple[bytes, int]:
    try:
        # Before the content: if that changes in between, the file is read again next time.
        modified = os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError as error:
        raise pictures.unopened(path, error) from error
    return pictures.read_bytes(path), modified


def unopened(error: PictureError) -> Found:
    """The result for a file that cannot be opened."""
    return Found(-1, 0, problem=error.problem, detail=error.detail)


def _count(content: np.ndarray, label_set: LabelSet) -> tuple[list[int], str, str]:
    """Pixels per train id, then ignored ones; and a problem, with its detail, where the label set misses an id."""
    flat = content.reshape(content.shape[0] * content.shape[1], -1)
    # Neighbours are mostly alike: finding where they differ takes a fraction of the time of looking every pixel up.
    differs = reduce(np.logical_or, [flat[1:, channel] != flat[:-1, channel] for channel in range(flat.shape[1])])
    starts = np.append(0, 1 + np.flatnonzero(differs))
    runs = flat[starts].reshape(-1, *content.shape[2:])
    lengths = np.diff(starts, append=len(flat))
    counts = np.bincount(label_set.encode(runs), weights=lengths, minlength=256).astype(np.int64)
    foreign = label_set.foreign(runs)
    what = "colours" if label_set.in_colours else "ids"
    detail = f"{what} {', '.join(map(str, foreign[:5]))}{', …' * (len(foreign) > 5)}" if foreign else ""
    return [*counts[: label_set.count].tolist(), int(counts[IGNORE])], "foreign" if foreign else "", detail
