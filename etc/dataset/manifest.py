"""The manifest: one row a frame, with all that later stages know about a data set.

Columns: clip (name), frame (number in the clip), split (train, dev or test), annotated (training may use the label),
image and label (paths below the data set's root, label "" when there is none), width, height (pixels), bytes and
checksum (of the image file), label_checksum ("" when there is none). Rows are sorted by clip, then frame. The file also
holds the label set, the classes and how label files are read, and in one sentence whose the frames are.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from etc.core.errors import UserError, first_line
from etc.core.files import atomic
from etc.dataset.label_sets import LabelSet

SPLITS = ("train", "dev", "test")

SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("frame", pa.int32()),
        ("split", pa.string()),
        ("annotated", pa.bool_()),
        ("image", pa.string()),
        ("label", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("checksum", pa.string()),
        ("label_checksum", pa.string()),
    ]
)

_LABEL_SET, _TERMS = b"label_set", b"terms"

# An absolute path, one with '..', and one without any name such as '.'; read by RE2 and by Python alike.
_NOT_BELOW = r"(?s)/.*|(.*/)?\.\.(/.*)?|(\.?/)*\.?"

Row = Mapping[str, Any] | pd.Series  # one row, read by column name


def checksum(data: bytes) -> str:
    """Hash of a file's content: BLAKE2b, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read(path: str | Path) -> pd.DataFrame:
    """Read and validate a manifest.

    Raises:
        UserError: the file is missing, is no Parquet file, or a row is wrong (see ``validate``).
    """
    path = Path(path)
    with _readable(path):
        table = pq.read_table(path)
    for field in SCHEMA:
        if field.name not in table.column_names:
            raise UserError(f"{path}: column {field.name!r} is missing; run the frames stage again")
    try:
        table = table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(
            f"{path}: a column has the wrong type ({first_line(error)}); run the frames stage again"
        ) from error
    frames = table.to_pandas()
    validate(frames, str(path))
    return frames


def read_label_set(path: str | Path) -> LabelSet:
    """The label set that a manifest holds.

    Raises:
        UserError: the file is missing, is no Parquet file, or holds no label set.
    """
    path = Path(path)
    with _readable(path):
        metadata = pq.read_schema(path).metadata or {}
    try:
        return LabelSet.from_json(metadata[_LABEL_SET].decode())
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: holds no label set; run the frames stage again") from error


def read_terms(path: str | Path) -> str:
    """Whose the frames are and what may be done with them; empty where the manifest does not say.

    Raises:
        UserError: the file is missing or is no Parquet file.
    """
    path = Path(path)
    with _readable(path):
        return (pq.read_schema(path).metadata or {}).get(_TERMS, b"").decode()


def write(path: str | Path, frames: pd.DataFrame, label_set: LabelSet, terms: str = "") -> None:
    """Sort, validate and write a manifest; equal content gives equal bytes.

    Args:
        path: the file.
        frames: its rows, in any order.
        label_set: the classes.
        terms: see :func:`read_terms`.

    Raises:
        UserError: a column is missing or a row is wrong (see ``validate``).
    """
    missing = [name for name in SCHEMA.names if name not in frames.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; every manifest column must be given")
    frames = frames.sort_values(["clip", "frame"], ignore_index=True)
    validate(frames, str(path))
    # The pandas metadata would put library versions into the file.
    metadata = {_LABEL_SET: label_set.to_json().encode()} | ({_TERMS: terms.encode()} if terms else {})
    table = pa.Table.from_pandas(frames, schema=SCHEMA, preserve_index=False).replace_schema_metadata(metadata)
    with atomic(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def validate(frames: pd.DataFrame, name: str) -> None:
    """Check every row.

    Args:
        frames: a manifest with all columns.
        name: what to call it in the message, usually its path.

    Raises:
        UserError: naming the manifest, the row (from 0), its clip and frame, and what is wrong.
    """

    def stop(index: int, reason: str) -> None:
        row = frames.iloc[index]
        raise UserError(f"{name}: row {index} (clip {row['clip']!r}, frame {row['frame']}): {reason}")

    if frames.empty:
        raise UserError(f"{name}: the manifest has no rows; check the data set's folder and parameters")
    empty = frames[SCHEMA.names].isna()
    if empty.to_numpy().any():
        index, column = np.argwhere(empty.to_numpy())[0]
        stop(index, f"{SCHEMA.names[column]} is empty; fill it")
    checks = [
        (frames["clip"].eq(""), "the clip has no name; name it"),
        (frames["frame"].lt(0), "a frame number cannot be negative; correct it"),
        (~frames["split"].isin(SPLITS), f"the split must be one of {', '.join(SPLITS)}; correct it"),
        (frames["width"].lt(1) | frames["height"].lt(1), "width and height must be positive; correct them"),
        (frames["bytes"].lt(1), "the image file is empty; make it again"),
        (~frames["checksum"].str.fullmatch("[0-9a-f]{32}"), "the checksum is not 32 hexadecimal digits; make it again"),
        (frames["annotated"] & frames["label"].eq(""), "the frame is annotated but has no label; name its label file"),
        (
            ~frames["label_checksum"].where(frames["label"].ne(""), "0" * 32).str.fullmatch("[0-9a-f]{32}"),
            "the label's checksum is not 32 hexadecimal digits; make it again",
        ),
        (frames["image"].str.fullmatch(_NOT_BELOW), "image must be a path below the root, without '..'; correct it"),
        (
            frames["label"].str.fullmatch(_NOT_BELOW) & frames["label"].ne(""),
            "label must be a path below the root, without '..', or empty; correct it",
        ),
        (frames.duplicated(["clip", "frame"]), "the frame is listed twice; remove one row"),
        (
            frames["split"].ne(frames.groupby("clip")["split"].transform("first")),
            "the clip is already in another split; keep each clip in one split",
        ),
    ]
    for wrong, reason in checks:
        if wrong.any():
            stop(int(np.flatnonzero(wrong)[0]), reason)
    order = frames.sort_values(["clip", "frame"], kind="stable").index
    if (order != frames.index).any():
        stop(int(np.flatnonzero(order != frames.index)[0]), "rows must be sorted by clip, then frame; sort them")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such manifest; run the frames stage first") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({first_line(error)}); run the frames stage again") from error
