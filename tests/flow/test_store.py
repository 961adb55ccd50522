"""The flow store: precision, size, determinism, random access and every kind of damage."""

import pickle
import resource
import zlib
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.core.errors import UserError
from etc.flow.store import FlowWriter, StoredFlow, content_key

SHAPE = (37, 53)


def smooth_flow(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.normal(0, 40, (*shape, 2)).astype(np.float32), (0, 0), 6)


def write(path, pairs=((0, 1), (1, 2), (5, 4)), **options):
    content = {pair: (smooth_flow(i), np.random.default_rng(i).random(SHAPE) < 0.8) for i, pair in enumerate(pairs)}
    with FlowWriter(path, "abc", SHAPE, method="dis", **options) as writer:
        for (source, target), (flow, visible) in content.items():
            writer.write(source, target, flow, visible)
    return content


@pytest.mark.parametrize("step", [1 / 16, 1 / 128])
def test_random_access_within_half_a_step(tmp_path, step):
    content = write(tmp_path / "clip.arrow", step=step)
    reader = StoredFlow(tmp_path / "clip.arrow", key="abc")
    assert reader.pairs == [(0, 1), (1, 2), (5, 4)]
    assert (reader.shape, reader.step, reader.method, reader.key) == (SHAPE, step, "dis", "abc")
    for pair in reversed(reader.pairs):
        flow, visible = reader.read(*pair)
        assert flow.dtype == np.float32 and visible.dtype == bool
        assert np.abs(flow - content[pair][0]).max() <= step / 2 + 1e-6
        np.testing.assert_array_equal(visible, content[pair][1])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_multiples_of_the_step_come_back_exactly(tmp_path_factory, data):
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    steps = data.draw(hnp.arrays(np.int16, (*shape, 2), elements=st.integers(-32767, 32767)))
    flow = steps.astype(np.float32) / 16
    visible = data.draw(st.none() | hnp.arrays(bool, shape))
    path = tmp_path_factory.mktemp("store") / "clip.arrow"
    with FlowWriter(path, "k", shape) as writer:
        writer.write(3, 4, flow, visible)
    read, read_visible = StoredFlow(path).read(3, 4)
    np.testing.assert_array_equal(read, flow)
    if visible is None:
        assert read_visible is None
    else:
        np.testing.assert_array_equal(read_visible, visible)


def test_vectors_beyond_the_range_stay_outside_the_frame(tmp_path):
    flow = np.zeros((4, 2048, 2), np.float32)
    flow[0, :, 0], flow[1, :, 0], flow[2, :, 0] = 5000, -1e30, 3e38
    with FlowWriter(tmp_path / "clip.arrow", "k", (4, 2048)) as writer:
        writer.write(0, 1, flow)
    read = StoredFlow(tmp_path / "clip.arrow").read(0, 1)[0]
    x = np.arange(2048) + np.rint(read[:3, :, 0])
    assert ((x < 0) | (x > 2047)).all()
    np.testing.assert_array_equal(read[3], 0)


def test_a_step_too_fine_for_the_frame_is_refused(tmp_path):
    for step in (1 / 128, 0, -1):
        with pytest.raises(UserError, match="coarser step"):
            FlowWriter(tmp_path / "clip.arrow", "k", (1024, 2048), step=step)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("shape", [(36, 52), (37, 53), (1, 1)])
def test_reduced_resolution(tmp_path, shape, scale):
    """A flow that changes slowly survives the reduction; a uniform one stays; sizes and visibility are untouched."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    slow = np.stack([0.1 * x - 2, 0.05 * y + 1], -1)
    uniform = np.full((*shape, 2), (3.25, -1.5), np.float32)
    visible = np.random.default_rng(0).random(shape) < 0.5
    with FlowWriter(tmp_path / "clip.arrow", "k", shape, scale=scale) as writer:
        writer.write(0, 1, slow, visible)
        writer.write(1, 2, uniform, visible)
    reader = StoredFlow(tmp_path / "clip.arrow")
    read, read_visible = reader.read(0, 1)
    assert read.shape == (*shape, 2)
    assert reader.scale == scale
    # Enlarging repeats the border, where the flow goes on: half a block times its slope, and half a step.
    assert np.abs(read - slow).max() <= 0.1 * (scale - 0.5) / 1 + 1 / 32 + 1e-5
    np.testing.assert_array_equal(read_visible, visible)
    np.testing.assert_allclose(reader.read(1, 2)[0], uniform, rtol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("shape", [(36, 52), (37, 53), (37, 52)])
def test_a_window_is_that_part_of_the_whole(tmp_path, shape, scale):
    visible = np.random.default_rng(0).random(shape) < 0.8
    with FlowWriter(tmp_path / "clip.arrow", "k", shape, scale=scale) as writer:
        writer.write(0, 1, smooth_flow(0, shape), visible)
    reader = StoredFlow(tmp_path / "clip.arrow")
    whole, whole_visible = reader.read(0, 1)
    rng = np.random.default_rng(1)
    edges = [slice(0, 1), slice(0, shape[0]), slice(shape[0] - 1, shape[0])]
    for rows in edges + [slice(*np.sort(rng.choice(shape[0] + 1, 2, replace=False)).tolist()) for _ in range(8)]:
        first = int(rng.integers(shape[1]))
        window = (rows, slice(first, int(rng.integers(first + 1, shape[1] + 1))))
        flow, seen = reader.read(0, 1, window)
        np.testing.assert_array_equal(flow, whole[window])
        np.testing.assert_array_equal(seen, whole_visible[window])


def test_vectors_beyond_the_range_are_refused_at_a_reduced_size(tmp_path):
    """There they would pull their neighbours out of place."""
    flow = np.zeros((4, 8, 2), np.float32)
    flow[1, 2, 0] = 1e10
    with (
        pytest.raises(UserError, match=r"clip\.arrow: pair 0 to 1: a component of 1e\+10 px.*store at scale 1"),
        FlowWriter(tmp_path / "clip.arrow", "k", (4, 8), scale=2) as writer,
    ):
        writer.write(0, 1, flow)
    with pytest.raises(UserError, match=r"1/3 of its size: use one of \(1, 2, 4\)"):
        FlowWriter(tmp_path / "clip.arrow", "k", (4, 8), scale=3)
    assert list(tmp_path.iterdir()) == []


def test_smooth_flow_packs_well(tmp_path):
    shape = (256, 512)
    with FlowWriter(tmp_path / "full.arrow", "k", shape) as writer:
        writer.write(0, 1, smooth_flow(0, shape), np.ones(shape, bool))
    with FlowWriter(tmp_path / "half.arrow", "k", shape, scale=2) as writer:
        writer.write(0, 1, smooth_flow(0, shape), np.ones(shape, bool))
    raw = 8 * shape[0] * shape[1]
    assert (tmp_path / "full.arrow").stat().st_size < raw / 5
    assert (tmp_path / "half.arrow").stat().st_size < raw / 12


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.arrow")
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_the_file_is_plain_arrow(tmp_path):
    """Anybody's Arrow reads it: columns, metadata, and a payload that this test unpacks by itself."""
    content = write(tmp_path / "clip.arrow")
    table = pa.ipc.open_file(tmp_path / "clip.arrow").read_all()
    assert table.column_names == ["source", "target", "flow", "visible", "crc"]
    # The last row is the seal: no frames, no flow, a checksum of all rows.
    assert table["source"].to_pylist() == [0, 1, 5, -1]
    assert table["flow"][3].as_py() is None
    assert table.schema.metadata[b"step"] == b"0.0625"
    assert table.schema.metadata[b"shape"] == b"37 53"
    size = 2 * SHAPE[0] * SHAPE[1]
    data = pa.Codec("zstd").decompress(table["flow"][1].as_py(), decompressed_size=2 * size, asbytes=True)
    planes = np.frombuffer(data, np.uint8).reshape(2, 2, *SHAPE).astype(int)
    values = np.cumsum(planes[0] + 256 * planes[1], axis=2) % 65536
    values = np.where(values >= 32768, values - 65536, values)
    np.testing.assert_array_equal(values, np.rint(np.moveaxis(content[1, 2][0], 2, 0) * 16))


def test_the_key_is_the_content():
    base = dict(checksums=["a", "b"], method="dis", parameters={"preset": "fast", "x": 1}, version="1")
    key = content_key(**base)
    assert len(key) == 32 and int(key, 16) >= 0
    assert content_key(**{**base, "parameters": {"x": 1, "preset": "fast"}}) == key
    others = [
        {**base, "checksums": ["b", "a"]},
        {**base, "checksums": ["ab"]},
        {**base, "method": "farneback"},
        {**base, "parameters": {"preset": "medium", "x": 1}},
        {**base, "version": "2"},
    ]
    assert len({key, *(content_key(**other) for other in others)}) == 6


def test_wrong_key_and_version_are_named(tmp_path, monkeypatch):
    path = tmp_path / "clip.arrow"
    write(path)
    with pytest.raises(UserError, match=r"clip\.arrow.*key abc, wanted abd"):
        StoredFlow(path, key="abd")
    monkeypatch.setattr("etc.flow.store.FORMAT", 99)
    with pytest.raises(UserError, match=r"clip\.arrow: flow format \d+, this version reads 99"):
        StoredFlow(path)


def test_missing_pair_and_missing_file_are_named(tmp_path):
    write(tmp_path / "clip.arrow")
    with pytest.raises(UserError, match="from frame 1 to 0"):
        StoredFlow(tmp_path / "clip.arrow").read(1, 0)
    with pytest.raises(UserError, match=r"nowhere\.arrow"):
        StoredFlow(tmp_path / "nowhere.arrow")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "clip.arrow"
    for data in (b"", b"ARROW1", b"\0" * 4000):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"clip\.arrow"):
            StoredFlow(path)
    with pa.ipc.new_file(str(path), pa.schema([("a", pa.int32())])) as writer:
        writer.write_batch(pa.record_batch([pa.array([1], pa.int32())], names=["a"]))
    with pytest.raises(UserError, match=r"clip\.arrow"):
        StoredFlow(path)


def read_everything(path):
    reader = StoredFlow(path, key="abc")
    return reader.pairs, [reader.read(*pair) for pair in reader.pairs]


def test_truncation_is_seen_at_any_length(tmp_path):
    path = tmp_path / "clip.arrow"
    write(path)
    whole = path.read_bytes()
    for length in np.random.default_rng(0).integers(0, len(whole), 60):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"clip\.arrow"):
            read_everything(path)


def test_a_changed_byte_is_seen_or_changes_nothing(tmp_path):
    """Bytes all over a small file. Padding may change unnoticed; flow, visibility and pairs may not."""
    path = tmp_path / "clip.arrow"
    rng = np.random.default_rng(0)
    with FlowWriter(path, "abc", (3, 5), method="dis") as writer:
        for pair in ((0, 1), (1, 0)):
            writer.write(*pair, rng.normal(0, 3, (3, 5, 2)).astype(np.float32), rng.random((3, 5)) < 0.5)
    whole = path.read_bytes()
    pairs, expected = read_everything(path)
    refused = 0
    positions = range(0, len(whole), 3)
    for position in positions:
        data = bytearray(whole)
        data[position] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            read_pairs, content = read_everything(path)
        except UserError as error:
            assert "clip.arrow" in str(error) and "\n" not in str(error)
            refused += 1
            continue
        assert read_pairs == pairs
        for (flow, visible), (expected_flow, expected_visible) in zip(content, expected, strict=True):
            np.testing.assert_array_equal(flow, expected_flow)
            np.testing.assert_array_equal(visible, expected_visible)
    assert refused > len(positions) / 2


def test_a_table_of_contents_that_hides_a_pair_is_seen(tmp_path):
    """A file whose batches are whole, but one is missing, is not taken for a shorter clip."""
    path = tmp_path / "clip.arrow"
    write(path)
    file = pa.ipc.open_file(path.read_bytes())
    batches = [file.get_batch(index) for index in range(file.num_record_batches)]
    for kept in (batches[:-1], batches[1:], batches[:1] + batches[2:], [*batches[1::-1], *batches[2:]], []):
        with pa.ipc.new_file(str(path), file.schema) as writer:
            for batch in kept:
                writer.write_batch(batch)
        with pytest.raises(UserError, match=r"clip\.arrow: damaged or truncated \(seal\)"):
            StoredFlow(path)


def test_a_file_that_cannot_be_mapped_for_lack_of_memory_is_not_called_damaged(tmp_path):
    """As under ``ulimit -v``."""
    path = tmp_path / "clip.arrow"
    write(path)
    with path.open("ab") as stream:
        stream.truncate(2**30)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, limits[1]))
    try:
        with pytest.raises(
            UserError, match=r"clip\.arrow: not enough memory to read it \(.*: Cannot allocate memory\)"
        ):
            StoredFlow(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize(
    "error",
    [
        pa.ArrowMemoryError("malloc of size 4000000 failed"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ],
)
def test_lack_of_memory_or_threads_in_arrow_is_not_called_damage(tmp_path, monkeypatch, error):
    path = tmp_path / "clip.arrow"
    write(path)
    monkeypatch.setattr(pa, "Codec", Mock(side_effect=error))
    with pytest.raises(UserError, match=rf"clip\.arrow: not enough memory to read it \({error}\): allow more"):
        StoredFlow(path).read(0, 1)


def test_bad_flow_is_refused_and_no_file_is_left(tmp_path):
    path = tmp_path / "clip.arrow"
    good = smooth_flow(0)
    bad = good.copy()
    bad[3, 4, 1] = np.nan
    cases = [
        (lambda writer: writer.write(0, 1, bad), "pair 0 to 1.*row 3, column 4"),
        (lambda writer: writer.write(0, 1, good[:-1]), "frame's size"),
        (lambda writer: writer.write(0, 1, good, np.ones((2, 2), bool)), "frame's size"),
        (lambda writer: [writer.write(0, 1, good) for _ in range(2)], "twice"),
        (lambda writer: writer.write(2**31, 1, good), "frame numbers lie between 0 and 2147483647"),
        (lambda writer: writer.write(0, 9_999_999_999_999_999, good), "frame numbers lie between 0 and 2147483647"),
        (lambda writer: writer.write(-1, 0, good), "frame numbers lie between 0 and 2147483647"),
    ]
    for action, message in cases:
        with pytest.raises(UserError, match=message), FlowWriter(path, "k", SHAPE) as writer:
            action(writer)
        assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_keeps_the_old_file(tmp_path):
    path = tmp_path / "clip.arrow"
    write(path)
    before = zlib.crc32(path.read_bytes())
    with pytest.raises(RuntimeError), FlowWriter(path, "new", SHAPE) as writer:
        writer.write(0, 1, smooth_flow(9))
        raise RuntimeError
    assert zlib.crc32(path.read_bytes()) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.arrow"]


def test_a_reader_can_go_to_another_process(tmp_path):
    write(tmp_path / "clip.arrow")
    reader = StoredFlow(tmp_path / "clip.arrow", key="abc")
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.read(1, 2)[0], reader.read(1, 2)[0])
