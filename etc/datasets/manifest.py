"""The manifest: one row a frame, what every later stage knows about a data set.

Columns: clip (name), frame (number in the clip), split (train, dev or test), annotated (training may use the label),
image and label (paths below the data set's root, label "" when there is none), width, height (pixels), bytes and
checksum (of the image file). Rows are sorted by clip, then frame.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from etc.datasets.labels import LabelSet
from etc.errors import UserError, first_line
from etc.files import atomic

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
    ]
)

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
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such manifest; run the frames stage first") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({first_line(error)}); run the frames stage again") from error
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


def write(path: str | Path, frames: pd.DataFrame) -> None:
    """Sort, validate and write a manifest; equal rows give equal bytes.

    Raises:
        UserError: a column is missing or a row is wrong (see ``validate``).
    """
    missing = [name for name in SCHEMA.names if name not in frames.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; every manifest column must be given")
    frames = frames.sort_values(["clip", "frame"], ignore_index=True)
    validate(frames, str(path))
    # The pandas metadata would put library versions into the file.
    table = pa.Table.from_pandas(frames, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)
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
        (~frames["image"].map(_is_below), "image must be a path below the root, without '..'; correct it"),
        (
            ~(frames["label"].map(_is_below) | frames["label"].eq("")),
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


def verify(root: str | Path, frames: pd.DataFrame) -> None:
    """Compare every image file with its row's size and checksum, and see that every label file is there.

    Raises:
        UserError: naming the first file that is missing or differs.
    """
    for row in frames.to_dict("records"):
        path = Path(root) / row["image"]
        data = _read_bytes(path)
        if len(data) != row["bytes"]:
            raise UserError(f"{path}: {len(data)} bytes, the manifest says {row['bytes']}; get or make the file again")
        if checksum(data) != row["checksum"]:
            raise UserError(f"{path}: its content differs from the manifest's checksum; get or make the file again")
        if row["label"] and not (Path(root) / row["label"]).is_file():
            raise UserError(f"{Path(root) / row['label']}: no such label file; get or make it again")


def load_image(root: str | Path, row: Row) -> np.ndarray:
    """Read the image of a row. Returns uint8 (H, W, 3) RGB.

    Raises:
        UserError: the file is missing, damaged or not of the row's size.
    """
    image = _decode(Path(root) / row["image"], cv2.IMREAD_COLOR, row)
    return np.ascontiguousarray(image[..., ::-1])


def load_label(root: str | Path, row: Row, label_set: LabelSet) -> np.ndarray:
    """Read the label of a row as train ids. Returns uint8 (H, W), 255 = ignore.

    Raises:
        UserError: the row has no label, or the file is missing, damaged, not 8-bit grey, not of the row's size, or
            holds an id that the label set does not know.
    """
    if not row["label"]:
        raise UserError(f"clip {row['clip']!r}, frame {row['frame']}: the frame has no label; choose an annotated one")
    path = Path(root) / row["label"]
    label = _decode(path, cv2.IMREAD_UNCHANGED, row)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise UserError(f"{path}: a label must be an 8-bit grey PNG of class ids, not {label.dtype} {label.shape}")
    foreign = label_set.foreign(label)
    if foreign:
        raise UserError(
            f"{path}: id {foreign[0]} is neither a class nor an ignored id of '{label_set.name}'; "
            "give the label file of this data set (Cityscapes: *_labelIds.png), or correct it"
        )
    return label_set.encode(label)


def _decode(path: Path, mode: int, row: Row) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(_read_bytes(path), np.uint8), mode)
    if pixels is None:
        raise UserError(f"{path}: not a readable picture; get or make the file again")
    if pixels.shape[:2] != (row["height"], row["width"]):
        height, width = pixels.shape[:2]
        raise UserError(f"{path}: {width}x{height} pixels, the manifest says {row['width']}x{row['height']}")
    return pixels


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path}: no such file; get or make it again") from error
    if not data:
        raise UserError(f"{path}: the file is empty; get or make it again")
    return data


def _is_below(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts
