"""Inspecting every file of a data set: size, checksum, and whether it is a complete picture of the right kind.

A shallow look reads the bytes, the header and the container: the checksum of every PNG chunk, the end marker of a JPEG.
A deep look also decodes the pixels, and counts those of each class in labels. Results are kept in a records file,
so that a file of the same size and time is not read again. A complete JPEG with wrong bytes inside decodes to other
pixels without any error; only an earlier checksum shows that.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etc.core.errors import first_line
from etc.core.files import atomic
from etc.core.progress import track
from etc.dataset import location, pictures
from etc.dataset.label_sets import LabelSet
from etc.dataset.manifest import checksum
from etc.sources.check.content import Found, look, unopened
from etc.sources.source import Frame
from etc.workers import Workers

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("kind", pa.string()),
        ("bytes", pa.int64()),
        ("modified", pa.int64()),
        ("checksum", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("deep", pa.bool_()),
        ("problem", pa.string()),
        ("detail", pa.string()),
        ("counts", pa.list_(pa.int64())),
    ]
)

_RECORDS = SCHEMA.append(pa.field("label_set", pa.string())).with_metadata({"inspection": "1"})
# Records are written this often during a run, or less often where writing them would take more than this share of it.
_SAVE_SECONDS, _SAVE_SHARE = 20.0, 0.02
# A task of a worker: large enough that handing it over costs nothing, small enough to show progress.
_CHUNK_BYTES, _CHUNK_FILES = 16 << 20, 64
# Rough times, for the number of processes: starting one takes a second or two, which a few files are not worth.
_FILE_SECONDS, _BYTE_SECONDS, _PROCESS_SECONDS = 2e-4, {False: 2e-9, True: 3e-8}, 4.0


class _File(NamedTuple):
    path: str
    kind: str
    place: str


def inspect(
    root: Path,
    frames: Sequence[Frame],
    label_set: LabelSet,
    records: Path,
    workers: int,
    deep: bool,
    label: str,
) -> pd.DataFrame:
    """Look at the files of all frames.

    Args:
        root: ``data/<data set>/root``; third-party files are found from there.
        frames: of the listing.
        label_set: of the data set.
        records: Parquet file of the results of earlier calls. It is written about every 20 seconds and at the end, so
            that a killed run can resume; a damaged one is ignored with a line on stderr.
        workers: processes; the result does not depend on it.
        deep: decode the pixels.
        label: short name for the progress bar.

    Returns:
        One row a file in the order of ``frames``, columns ``SCHEMA``: path below the root; kind, ``image`` or
        ``label``; bytes, -1 where it cannot be opened; modified, ns since 1970; checksum as in the manifest; width and
        height in pixels as the pipeline decodes it, 0 where unknown; deep, whether a deep look was taken; problem, a
        ``pictures.Problem`` or ""; detail in words; counts, for decoded labels the number of pixels per train
        id, then of those ignored, else None.

    Raises:
        UserError: the foreign folder is not found, ``records`` cannot be written, or a worker died.
    """
    files = _files(Path(root), frames)
    now = _stat_all([file.place for file in files])
    kept = _load(Path(records))
    own_set = checksum(label_set.to_json().encode())
    names = [own_set if file.kind == "label" else "" for file in files]
    place = _places(files, kept)
    seen = _unchanged(now, names, kept, place, deep)
    looks = [one if one.problem else None for one in now]
    todo = [number for number, one in enumerate(looks) if one is None and not seen[number]]

    def save() -> None:
        done = [number for number in todo if looks[number] is not None]
        fresh = [number for number in done if looks[number].bytes >= 0]
        outdated = np.zeros(len(kept), bool)
        outdated[[place[number] for number in done if place[number] >= 0]] = True
        rows = _table(files, looks, fresh).append_column("label_set", pa.array([names[k] for k in fresh], pa.string()))
        with atomic(records) as stream:
            pq.write_table(pa.concat_tables([kept.filter(~outdated), rows.cast(_RECORDS)]), stream, compression="zstd")

    if todo:
        results = _look_all([(files[number], now[number].bytes) for number in todo], label_set, deep, workers)
        last, pause = time.monotonic(), _SAVE_SECONDS
        try:
            for number, one in zip(todo, track(results, len(files), label, len(files) - len(todo)), strict=True):
                looks[number] = one
                if time.monotonic() - last >= pause:
                    start = time.monotonic()
                    save()
                    last = time.monotonic()
                    pause = max(_SAVE_SECONDS, (last - start) / _SAVE_SHARE)
        finally:
            results.close()
            save()
    new = [number for number, one in enumerate(looks) if one is not None]
    old = np.flatnonzero([one is None for one in looks])
    table = pa.concat_tables([_table(files, looks, new), kept.take(place[old]).select(SCHEMA.names).cast(SCHEMA)])
    return table.take(np.argsort(np.concatenate([new, old]).astype(np.int64))).to_pandas()


def _files(root: Path, frames: Sequence[Frame]) -> list[_File]:
    """Every file once."""
    foreign = location.external(root)
    made = {path.name for path in root.iterdir()} if foreign else set()
    folder = str(foreign or root)

    def resolve(name: str) -> str:
        # Third-party frames are many: only those that may be below the root are looked for there.
        return str(location.locate(root, name)) if name.partition("/")[0] in made else f"{folder}/{name}"

    named = ((name, kind) for one in frames for name, kind in ((one.image, "image"), (one.label, "label")) if name)
    return [_File(name, kind, resolve(name)) for name, kind in dict.fromkeys(named)]


def _stat_all(places: list[str]) -> list[Found]:
    """Size and time of every file; threads, since a network drive answers each question late."""
    parts = [places[start : start + 1000] for start in range(0, len(places), 1000)]
    with ThreadPoolExecutor(8) as pool:
        return list(chain.from_iterable(pool.map(lambda part: list(map(_stat, part)), parts)))


def _stat(place: str) -> Found:
    try:
        # Path.stat takes twice as long, and there may be a million files.
        status = os.stat(place)  # noqa: PTH116
    except OSError as error:
        return unopened(pictures.unopened(place, error))
    return Found(status.st_size, status.st_mtime_ns)


def _look_all(files: list[tuple[_File, int]], label_set: LabelSet, deep: bool, workers: int) -> Iterator[Found]:
    chunks: list[list[_File]] = []
    size = 0
    for file, length in files:
        if not chunks or size + length > _CHUNK_BYTES or len(chunks[-1]) == _CHUNK_FILES:
            chunks.append([])
            size = 0
        chunks[-1].append(file)
        size += length
    seconds = len(files) * _FILE_SECONDS + sum(length for _, length in files) * _BYTE_SECONDS[deep]
    with Workers(min(workers, 1 + int(seconds / _PROCESS_SECONDS))) as pool:
        yield from chain.from_iterable(pool.map(partial(_look_chunk, label_set=label_set, deep=deep), chunks))


def _look_chunk(files: list[_File], label_set: LabelSet, deep: bool) -> list[Found]:
    return [look(file.place, file.kind, label_set, deep) for file in files]


def _table(files: list[_File], looks: list[Found | None], numbers: Sequence[int]) -> pa.Table:
    """The rows of some files, columns ``SCHEMA``."""
    rows = [(files[number].path, files[number].kind, *looks[number]) for number in numbers]
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    return pa.table([pa.array(column, one.type) for column, one in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def _load(records: Path) -> pa.Table:
    """The results of earlier calls."""
    try:
        kept = pq.read_table(records)
    except FileNotFoundError:
        return _RECORDS.empty_table()
    except (pa.ArrowInvalid, OSError) as error:
        print(f"{records}: not readable ({first_line(error)}); every file is read again", file=sys.stderr)
        return _RECORDS.empty_table()
    if not kept.schema.equals(_RECORDS) or kept.schema.metadata.get(b"inspection") != _RECORDS.metadata[b"inspection"]:
        print(f"{records}: written by another version; every file is read again", file=sys.stderr)
        return _RECORDS.empty_table()
    return kept


def _places(files: list[_File], kept: pa.Table) -> np.ndarray:
    """Row of every file in ``kept``, -1 where it has none."""
    known = pc.binary_join_element_wise(kept["kind"], kept["path"], ":")
    wanted = pa.array([f"{file.kind}:{file.path}" for file in files], pa.string())
    return pc.fill_null(pc.index_in(wanted, known), -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _unchanged(now: list[Found], names: list[str], kept: pa.Table, place: np.ndarray, deep: bool) -> np.ndarray:
    """Which files need not be read again.

    Args:
        now: size and time of every file.
        names: hash of the label set for labels, "" for images.
        kept, place: as :func:`_load` and :func:`_places` return them.
        deep: whether a shallow record is too little.
    """
    same = place >= 0
    if not same.any():
        return same
    rows = kept.select(["bytes", "modified", "label_set", "deep"]).take(np.maximum(place, 0))
    same = same & (rows["bytes"].to_numpy() == np.array([one.bytes for one in now]))
    same &= rows["modified"].to_numpy() == np.array([one.modified for one in now])
    same &= pc.equal(rows["label_set"], pa.array(names, pa.string())).to_numpy()
    return same & rows["deep"].to_numpy() if deep else same
