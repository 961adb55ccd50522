"""Gaps in recordings, where frames are missing, stored in the manifest's file for ``etc frames --verify``.

They are metadata of the Parquet file, like the label set. Without gaps nothing is added, and readers of the manifest do
not depend on this module.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.sources.source import Gap

_GAPS = b"gaps"


def add(path: str | Path, gaps: Iterable[Gap]) -> None:
    """Add gaps to a manifest that has none yet; without gaps the file stays as it is. Equal gaps give equal bytes."""
    rows = sorted(gaps)
    if not rows:
        return
    table = pq.read_table(path)
    table = table.replace_schema_metadata({**table.schema.metadata, _GAPS: json.dumps(rows).encode()})
    with atomic(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def read(path: str | Path, frames: pd.DataFrame) -> tuple[Gap, ...]:
    """The gaps that a manifest holds.

    Args:
        path: of the manifest.
        frames: its rows.

    Raises:
        UserError: the entries are not gaps, or not between its frames.
    """
    try:
        gaps = tuple(_gap(row) for row in json.loads((pq.read_schema(path).metadata or {}).get(_GAPS, b"[]")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: the gaps it holds cannot be read ({error}); run the frames stage again") from error
    known = set(zip(frames["clip"], frames["frame"], strict=True))
    for gap in gaps:
        if (gap.clip, gap.frame) not in known:
            raise UserError(
                f"{path}: holds a gap before frame {gap.frame} of clip {gap.clip!r}, but not that frame; "
                "run the frames stage again"
            )
    return gaps


def _gap(row: list) -> Gap:
    clip, *numbers = row
    if not isinstance(clip, str) or [type(number) for number in numbers] != [int, int, int]:
        raise ValueError(f"{row!r} is not a clip and three numbers")
    return Gap(clip, *numbers)
