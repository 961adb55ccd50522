"""Counts as Parquet: one row per record and class, equal counts give equal bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.evaluation.consistency import PairResult

Record = dict[str, Any]


def pair_records(pair: PairResult) -> list[Record]:
    """One record per protocol of a pair: clip, source, target, protocol, same, counted, intersection (C,), union (C,).

    A protocol whose mean needs it (``vspw_released``) adds ``source_pixels`` (C,), see
    ``etc.evaluation.iou.IouCounts``.

    ``same`` and ``counted`` belong to the pair, not to a class, so the rows of all its classes repeat them, as they do
    its clip: to sum them over pairs, take the rows of one class. A table of their own would be a second file that has
    to fit the first, and Parquet stores repeated values in little space (a sixth of the file).
    """
    return [
        {
            "clip": pair.clip,
            "source": pair.source,
            "target": pair.target,
            "protocol": protocol,
            "same": counts.same,
            "counted": counts.counted,
            "intersection": counts.intersection,
            "union": counts.union,
        }
        | ({} if counts.source_pixels is None else {"source_pixels": counts.source_pixels})
        for protocol, counts in pair.counts.items()
    ]


def counts_table(records: Sequence[Record], classes: int) -> pa.Table:
    """Table of the records: an array of a record has one value a class, everything else is repeated.

    Columns are those of the first record and ``class``; text is string, arrays are int64, numbers int32 where they fit.
    """
    columns = {}
    for name, first in records[0].items():
        values = [record[name] for record in records]
        if isinstance(first, np.ndarray):
            columns[name] = pa.array(np.concatenate(values), pa.int64())
        else:
            kind = pa.string() if isinstance(first, str) else _number_type(values)
            columns[name] = pa.array(np.repeat(values, classes), kind)
    columns["class"] = pa.array(np.tile(np.arange(classes, dtype=np.int32), len(records)))
    return pa.table(columns)


def _number_type(values: Sequence[int]) -> pa.DataType:
    """32 bits, or 64 for frame numbers that are times, e.g. in nanoseconds."""
    return pa.int64() if max(values) > 2**31 - 1 else pa.int32()


def write_counts(path: Path, records: Sequence[Record], classes: int, like: Record | None = None) -> None:
    """Write the records to a Parquet file.

    Args:
        path: the file.
        records: what was counted.
        classes: number of classes.
        like: a record of the same kind; allows a table without rows to be written.

    Raises:
        UserError: there is no record, and ``like`` is not given.
    """
    if not records and like is None:
        raise UserError(f"{path}: nothing to count; the clips have only one frame each: there is no pair to compare")
    table = counts_table(records or [like], classes)
    with atomic(path) as stream:
        pq.write_table(table if records else table.slice(0, 0), stream)
