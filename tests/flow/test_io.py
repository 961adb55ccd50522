"""Flow files: bytes written by hand, round trips, damage, and published samples where they are at hand."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.core.errors import UserError
from etc.flow.io import read_flo, read_kitti_png, write_flo, write_kitti_png
from tests.real_data import DATA

SAMPLES = DATA / "flow"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no published flow samples here")


def test_flo_bytes(tmp_path):
    """Tag, width, height, then u and v row by row."""
    data = struct.pack("<fii12f", 202021.25, 3, 2, *range(12))
    (tmp_path / "a.flo").write_bytes(data)
    flow = read_flo(tmp_path / "a.flo")
    assert flow.shape == (2, 3, 2)
    assert flow.dtype == np.float32
    np.testing.assert_array_equal(flow[1, 0], [6, 7])
    write_flo(tmp_path / "b.flo", flow)
    assert (tmp_path / "b.flo").read_bytes() == data
    assert data[:4] == b"PIEH"


def test_kitti_png_encoding(tmp_path):
    """Red holds u, green holds v, blue is valid."""
    encoded = np.zeros((2, 3, 3), np.uint16)
    encoded[0, 1] = (1, 32768 - 64, 32768 + 96)  # blue, green, red in OpenCV's order
    encoded[1, 2] = (0, 40000, 40000)  # not valid: its vector does not matter
    cv2.imwrite(str(tmp_path / "a.png"), encoded)
    flow, valid = read_kitti_png(tmp_path / "a.png")
    np.testing.assert_array_equal(flow[0, 1], [1.5, -1.0])
    assert valid.sum() == 1 and valid[0, 1]
    assert (flow[~valid] == 0).all()


@settings(max_examples=25, deadline=None)
@given(flow=hnp.arrays(np.float32, (4, 5, 2), elements=st.floats(-511, 511, width=32)), valid=hnp.arrays(bool, (4, 5)))
@example(flow=np.full((4, 5, 2), 1.492184, np.float32), valid=np.ones((4, 5), bool))
def test_kitti_round_trip_is_within_half_a_step(tmp_path_factory, flow, valid):
    path = tmp_path_factory.mktemp("kitti") / "a.png"
    write_kitti_png(path, flow, valid)
    read, read_valid = read_kitti_png(path)
    np.testing.assert_array_equal(read_valid, valid)
    assert np.abs(read - flow)[valid].max(initial=0) <= 1 / 128


@needs_samples
@pytest.mark.parametrize(
    ("name", "shape"),
    [("middlebury/flow_gt.flo", (388, 584)), ("chairs/00001_flow.flo", (50, 50))],
)
def test_published_flo_files(tmp_path, name, shape):
    flow = read_flo(SAMPLES / name)
    assert flow.shape == (*shape, 2)
    write_flo(tmp_path / "copy.flo", flow)
    assert (tmp_path / "copy.flo").read_bytes() == (SAMPLES / name).read_bytes()


@needs_samples
def test_published_kitti_file(tmp_path):
    flow, valid = read_kitti_png(SAMPLES / "kitti" / "flow_gt.png")
    assert flow.shape == (375, 1242, 2)
    assert 0 < valid.sum() < valid.size
    write_kitti_png(tmp_path / "copy.png", flow, valid)
    original = cv2.imread(str(SAMPLES / "kitti" / "flow_gt.png"), cv2.IMREAD_UNCHANGED)
    copy = cv2.imread(str(tmp_path / "copy.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(copy[valid], original[valid])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "tag"),
        (b"PIEH", "tag"),
        (struct.pack("<fii", 1.0, 1, 1), "tag"),
        (struct.pack("<fii", 202021.25, 2, 2) + bytes(31), "truncated: 2x2 needs 44 bytes, it has 43"),
        (struct.pack("<fii", 202021.25, 2, 2) + bytes(33), "too long"),
        (struct.pack("<fii", 202021.25, -2, 2) + bytes(32), "size -2x2"),
        (struct.pack("<fii2f", 202021.25, 1, 1, 0.0, float("nan")), "row 0, column 0"),
    ],
)
def test_damaged_flo_is_named(tmp_path, data, message):
    path = tmp_path / "broken.flo"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_flo(path)
    assert "broken.flo" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_kitti_png_is_named(tmp_path):
    path = tmp_path / "broken.png"
    write_kitti_png(path, np.random.default_rng(0).normal(0, 9, (30, 40, 2)).astype(np.float32))
    whole = path.read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"not a png"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"broken\.png"):
            read_kitti_png(path)
    cv2.imwrite(str(path), np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(UserError, match="16-bit"):
        read_kitti_png(path)


def test_missing_file_is_named(tmp_path):
    for read in (read_flo, read_kitti_png):
        with pytest.raises(UserError, match="nowhere"):
            read(tmp_path / "nowhere")


def test_writers_refuse_what_the_format_cannot_hold(tmp_path):
    flow = np.zeros((2, 2, 2), np.float32)
    flow[0, 0, 0] = 600
    with pytest.raises(UserError, match="600"):
        write_kitti_png(tmp_path / "a.png", flow)
    write_kitti_png(tmp_path / "a.png", flow, valid=np.array([[False, True], [True, True]]))
    flow[0, 0, 0] = np.inf
    for write in (write_flo, write_kitti_png):
        with pytest.raises(UserError, match="b"):
            write(tmp_path / "b", flow)
    assert not (tmp_path / "b").exists()
