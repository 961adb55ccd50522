import numpy as np
import pandas as pd
import pytest

from etc.core.errors import UserError
from etc.dataset import manifest
from etc.dataset.label_sets import CITYSCAPES, STREET
from tests.dataset.coloured import COLOURED


def _rows(count: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip": [f"street_{k // 2:06d}" for k in range(count)],
            "frame": [k % 2 for k in range(count)],
            "split": ["train" if k < 2 else "dev" for k in range(count)],
            "annotated": [k % 2 == 1 for k in range(count)],
            "image": [f"images/{k}.png" for k in range(count)],
            "label": [f"labels/{k}.png" if k % 2 else "" for k in range(count)],
            "width": 8,
            "height": 4,
            "bytes": [100 + k for k in range(count)],
            "checksum": [f"{k:032x}" for k in range(count)],
            "label_checksum": [f"{k:032x}" if k % 2 else "" for k in range(count)],
        }
    )


def test_round_trip_sorts_and_is_deterministic(tmp_path):
    rows = _rows()
    manifest.write(tmp_path / "a.parquet", rows.iloc[::-1], STREET)
    manifest.write(tmp_path / "b.parquet", rows, STREET)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    read = manifest.read(tmp_path / "a.parquet")
    assert read["clip"].tolist() == rows["clip"].tolist()
    assert read["checksum"].tolist() == rows["checksum"].tolist()
    assert (read["frame"].dtype, read["bytes"].dtype, read["annotated"].dtype) == (np.int32, np.int64, np.bool_)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("clip", "", "clip has no name"),
        ("frame", -1, "negative"),
        ("split", "val", "train, dev, test"),
        ("split", "train", "already in another split"),
        ("width", 0, "positive"),
        ("bytes", 0, "empty"),
        ("checksum", "xyz", "32 hexadecimal"),
        ("label", "", "annotated but has no label"),
        ("label_checksum", "", "label's checksum is not 32"),
        ("image", "/etc/passwd", "below the root"),
        ("image", "../x.png", "below the root"),
        ("image", None, "image is empty"),
        ("label", "a/../../x.png", "below the root"),
        ("frame", 0, "listed twice"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, column, value, message):
    rows = _rows()
    rows[column] = rows[column].astype(object)
    rows.loc[3, column] = value
    if message == "already in another split":
        rows.loc[2, "split"] = "test"
    with pytest.raises(UserError, match=rf"m\.parquet: row \d \(clip .*{message}") as raised:
        manifest.validate(rows, str(tmp_path / "m.parquet"))
    assert "\n" not in str(raised.value)


def test_the_row_number_is_right():
    rows = _rows()
    rows.loc[2, "width"] = -5
    with pytest.raises(UserError, match=r"x: row 2 \(clip 'street_000001', frame 0\)"):
        manifest.validate(rows, "x")


def test_unsorted_and_empty_manifests_are_refused():
    with pytest.raises(UserError, match="sorted"):
        manifest.validate(_rows().iloc[[1, 0, 2, 3]].reset_index(drop=True), "x")
    with pytest.raises(UserError, match="no rows"):
        manifest.validate(_rows().iloc[:0], "x")


def test_missing_file_damaged_file_and_missing_column(tmp_path):
    with pytest.raises(UserError, match="no such manifest"):
        manifest.read(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(UserError, match="not a Parquet file"):
        manifest.read(tmp_path / "bad.parquet")
    _rows().drop(columns="split").to_parquet(tmp_path / "short.parquet")
    with pytest.raises(UserError, match="'split' is missing"):
        manifest.read(tmp_path / "short.parquet")
    with pytest.raises(UserError, match="'split' is missing"):
        manifest.write(tmp_path / "x.parquet", _rows().drop(columns="split"), STREET)
    odd = _rows()
    odd["width"] = "wide"
    odd.to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(UserError, match="wrong type"):
        manifest.read(tmp_path / "odd.parquet")


def test_the_label_set_travels_with_the_manifest(tmp_path):
    path = tmp_path / "frames.parquet"
    for one in (STREET, CITYSCAPES, COLOURED):
        manifest.write(path, _rows(), one)
        assert manifest.read_label_set(path) == one
        assert len(manifest.read(path)) == 4
    _rows().to_parquet(path)
    with pytest.raises(UserError, match="holds no label set"):
        manifest.read_label_set(path)
    with pytest.raises(UserError, match="no such manifest"):
        manifest.read_label_set(tmp_path / "none.parquet")
