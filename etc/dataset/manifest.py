"""The manifest: one row a frame, what every later stage knows about a data set.

Columns: clip (name), frame (number in the clip), split (train, dev or test), annotated (training may use the label),
image and label (paths below the data set's root, label "" when there is none), width, height (pixels), bytes and
checksum (of the image file), label_checksum ("" when there is none). Rows are sorted by clip, then frame. The file also
holds the label set: what the classes are and how label files are read.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from etc.core.errors import UserError, first_line
from etc.core.files import atomic
from etc.dataset import location
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

_LABEL_SET = b"label_set"

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
    """The label set that stands in a manifest.

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


def write(path: str | Path, frames: pd.DataFrame, label_set: LabelSet) -> None:
    """Sort, validate and write a manifest; equal rows and label sets give equal bytes.

    Raises:
        UserError: a column is missing or a row is wrong (see ``validate``).
    """
    missing = [name for name in SCHEMA.names if name not in frames.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; every manifest column must be given")
    frames = frames.sort_values(["clip", "frame"], ignore_index=True)
    validate(frames, str(path))
    # The pandas metadata would put library versions into the file.
    metadata = {_LABEL_SET: label_set.to_json().encode()}
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


def load_image(root: str | Path, row: Row) -> np.ndarray:
    """Read the image of a row. Returns uint8 (H, W, 3) RGB.

    Raises:
        UserError: the file is missing, damaged, changed since the manifest was written, or not of the row's size.
    """
    image = _decode(location.locate(root, row["image"]), cv2.IMREAD_COLOR, row, row["checksum"])
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def load_label(root: str | Path, row: Row, label_set: LabelSet) -> np.ndarray:
    """Read the label of a row as train ids. Returns uint8 (H, W), 255 = ignore.

    Raises:
        UserError: the row has no label, or the file is missing, damaged, changed since the manifest was written, not of
            the label set's kind (8-bit grey or RGB), not of the row's size, or holds an id that it does not know.
    """
    if not row["label"]:
        raise UserError(f"clip {row['clip']!r}, frame {row['frame']}: the frame has no label; choose an annotated one")
    path = location.locate(root, row["label"])
    label = label_content(_decode(path, cv2.IMREAD_UNCHANGED, row, row["label_checksum"]), label_set, str(path))
    foreign = label_set.foreign(label)
    if foreign:
        what = "colour" if label_set.in_colours else "id"
        raise UserError(
            f"{path}: {what} {foreign[0]} is neither of a class nor ignored in '{label_set.name}'; "
            "give the label file of this data set (Cityscapes: *_labelIds.png), or correct it"
        )
    return label_set.encode(label)


def label_content(pixels: np.ndarray, label_set: LabelSet, name: str) -> np.ndarray:
    """A decoded label file as its label set takes it: ids, uint8 (H, W), or RGB, uint8 (H, W, 3).

    Args:
        pixels: as OpenCV decodes it unchanged: grey, BGR or BGRA.
        label_set: of the data set.
        name: what to call the file in the message.

    Raises:
        UserError: it is of another kind.
    """
    if label_set.in_colours:
        if pixels.ndim == 3 and pixels.dtype == np.uint8:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGB)
        raise UserError(f"{name}: a label of '{label_set.name}' must be an 8-bit RGB picture, not {_kind(pixels)}")
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise UserError(f"{name}: a label must be an 8-bit grey PNG of class ids, not {_kind(pixels)}")
    return pixels


def _kind(pixels: np.ndarray) -> str:
    return f"{pixels.dtype} {pixels.shape}"


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such manifest; run the frames stage first") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({first_line(error)}); run the frames stage again") from error


def _decode(path: Path, mode: int, row: Row, expected: str) -> np.ndarray:
    data = _read_bytes(path)
    if checksum(data) != expected:
        raise UserError(f"{path}: its content is not that of the manifest; get the file or run etc frames again")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
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
