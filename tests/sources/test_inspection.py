import os
import pickle
import signal
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from etc.core.errors import UserError
from etc.dataset import location, manifest
from etc.dataset import pictures as dataset_pictures
from etc.dataset.label_sets import CITYSCAPES, IGNORE, STREET, LabelSet
from etc.sources.check import content as pictures
from etc.sources.check import inspection
from etc.sources.source import Frame
from tests.dataset.coloured import COLOURED
from tests.real_data import DATA

HEIGHT, WIDTH = 24, 40


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def ids(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([7, 8, 26, 0], np.uint8), (HEIGHT, WIDTH))


def encoded(pixels: np.ndarray, suffix: str = ".png", *flags: int) -> bytes:
    return cv2.imencode(suffix, pixels, list(flags))[1].tobytes()


def look(path: Path, data: bytes, kind: str = "image", label_set: LabelSet = STREET, deep: bool = True):
    path.write_bytes(data)
    return pictures.look(str(path), kind, label_set, deep)


@pytest.fixture
def data_set(tmp_path):
    """Three clips of four frames, each frame but the first with a label."""
    root = tmp_path / "root"
    frames = []
    for number in range(12):
        clip = f"clip{number // 4}"
        image, label = f"{clip}/{number:03d}.png", f"{clip}/{number:03d}_id.png" if number else ""
        (root / clip).mkdir(parents=True, exist_ok=True)
        (root / image).write_bytes(encoded(picture(number)))
        if label:
            (root / label).write_bytes(encoded(ids(number)))
        frames.append(Frame(clip, number, "train", False, image, label))
    return root, frames


def inspect(data_set, label_set=STREET, workers=1, deep=True):
    root, frames = data_set
    return inspection.inspect(root, frames, label_set, root.parent / "records.parquet", workers, deep, "inspect")


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are read, in this process."""
    names = []
    read = pictures._read
    monkeypatch.setattr(pictures, "_read", lambda path: names.append(Path(path).name) or read(path))
    return names


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_image_and_label(tmp_path, deep):
    data = encoded(picture())
    found = look(tmp_path / "a.png", data, deep=deep)
    status = (tmp_path / "a.png").stat()
    assert found == (len(data), status.st_mtime_ns, manifest.checksum(data), WIDTH, HEIGHT, deep, "", "", None)
    found = look(tmp_path / "b.png", encoded(ids()), "label", deep=deep)
    assert (found.problem, found.width, found.height, found.deep) == ("", WIDTH, HEIGHT, deep)
    train = STREET.encode(ids())
    expected = [int((train == value).sum()) for value in (*range(STREET.count), IGNORE)]
    assert found.counts == (expected if deep else None)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_file_that_ends_too_early_is_found_wherever_it_ends(tmp_path, suffix, deep):
    whole = encoded(picture(), suffix)
    assert look(tmp_path / "whole", whole, deep=deep).problem == ""
    cuts = sorted({3, 9, 20, 40, *(int(len(whole) * part) for part in (0.1, 0.5, 0.9, 0.99)), *range(-14, 0)})
    for cut in cuts:
        expected = "truncated" if suffix == ".jpg" or len(whole[:cut]) >= 8 else "damaged"
        assert look(tmp_path / "cut", whole[:cut], deep=deep).problem == expected, cut


@pytest.mark.parametrize("flags", [(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
def test_jpegs_of_other_makes(tmp_path, flags):
    whole = encoded(picture(), ".jpg", *flags)
    assert look(tmp_path / "a", whole).problem == ""
    assert look(tmp_path / "a", whole + b"\0" * 100).problem == ""
    assert look(tmp_path / "a", whole[: len(whole) // 2] + b"\0" * 100).problem == "truncated"


def test_the_preview_in_a_jpeg_does_not_hide_that_it_ends_too_early(tmp_path):
    preview, buffer, tags = encoded(picture()[:8, :8], ".jpg"), BytesIO(), Image.Exif()
    tags[0x9286] = preview
    Image.fromarray(picture()).save(buffer, "JPEG", exif=tags)
    whole = buffer.getvalue()
    assert preview in whole
    assert look(tmp_path / "a.jpg", whole, deep=False).problem == ""
    assert look(tmp_path / "a.jpg", whole[:-2], deep=False).problem == "truncated"


def test_the_end_of_a_file_overwritten_with_zeros(tmp_path):
    for suffix in (".png", ".jpg"):
        whole = encoded(picture(), suffix)
        half = len(whole) // 2
        assert look(tmp_path / "a", whole[:half] + bytes(len(whole) - half), deep=False).problem in (
            "damaged",
            "truncated",
        )


def test_a_changed_byte_of_a_png_and_rubbish(tmp_path):
    data = bytearray(encoded(picture()))
    data[len(data) // 2] ^= 1
    found = look(tmp_path / "a.png", bytes(data), deep=False)
    assert (found.problem, found.checksum) == ("damaged", manifest.checksum(bytes(data)))
    assert "wrong checksum of the PNG chunk at byte" in found.detail
    assert look(tmp_path / "a.png", b"no picture at all", deep=False).problem == "damaged"
    assert look(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + _chunk(b"IEND", b"")).problem == "damaged"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_pixels_that_do_not_fill_the_picture_are_found_by_a_deep_look_alone(tmp_path):
    """All chunks are sound, but there are too few rows in them."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(bytes(9 * 5))) + _chunk(b"IEND", b"")
    assert look(tmp_path / "a.png", data, "label", deep=False).problem == ""
    assert look(tmp_path / "a.png", data, "label").problem in ("damaged", "truncated")
    colour = data.replace(head, _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)))
    assert look(tmp_path / "a.png", colour, deep=False).problem == ""
    assert look(tmp_path / "a.png", colour).problem in ("damaged", "truncated")


def _palette() -> bytes:
    buffer = BytesIO()
    Image.fromarray(ids()).convert("P").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("kind", "data", "detail"),
    [
        ("image", encoded(picture().astype(np.uint16) * 256), "16-bit RGB, not 8-bit RGB"),
        ("label", encoded(picture()), "8-bit RGB, a colour picture, not class ids"),
        ("label", encoded(ids(), ".jpg"), "a JPEG, which does not keep labels as they were"),
    ],
)
def test_a_wrong_mode_shows_in_the_header(tmp_path, kind, data, detail, deep):
    found = look(tmp_path / "a.png", data, kind, deep=deep)
    assert (found.problem, found.detail, found.deep) == ("mode", detail, deep)


def test_palette_images_and_bitmaps_are_fine(tmp_path):
    assert look(tmp_path / "a.png", _palette()).problem == ""
    bitmap = encoded(picture(), ".bmp")
    assert look(tmp_path / "a.bmp", bitmap)[3:8] == (WIDTH, HEIGHT, True, "", "")
    assert look(tmp_path / "a.bmp", bitmap[:-100]).problem == "truncated"


@pytest.mark.parametrize("suffix", ["PNG", "JPEG"])
def test_the_size_is_that_which_opencv_decodes(tmp_path, suffix):
    """It turns images by their EXIF data."""
    buffer, tags = BytesIO(), Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(picture()).save(buffer, suffix, exif=tags)
    found = look(tmp_path / "a", buffer.getvalue(), deep=False)
    decoded = cv2.imread(str(tmp_path / "a"), cv2.IMREAD_COLOR)
    assert (found.height, found.width) == decoded.shape[:2] == (WIDTH, HEIGHT)


def test_foreign_ids_and_colours(tmp_path):
    label = ids()
    label[3, 5:8] = 34, 40, 41
    found = look(tmp_path / "a.png", encoded(label), "label")
    assert (found.problem, found.detail) == ("foreign", "ids 34, 40, 41")
    # Pixels of foreign ids are counted as ignored ones.
    assert sum(found.counts) == label.size
    assert look(tmp_path / "a.png", encoded(label), "label", deep=False).problem == ""
    label[0, :9] = range(34, 43)
    assert look(tmp_path / "a.png", encoded(label), "label").detail == "ids 34, 35, 36, 37, 38, …"

    choice = np.random.default_rng(0).integers(0, 4, (HEIGHT, WIDTH))
    colours = np.array([(0, 0, 0), (1, 2, 3), (4, 5, 6), (7, 8, 9)], np.uint8)[choice]
    found = look(tmp_path / "c.png", encoded(colours[..., ::-1]), "label", COLOURED)
    assert (found.problem, found.counts) == (
        "",
        [int((choice == 1).sum()), int((choice > 1).sum()), int((choice == 0).sum())],
    )
    colours[1, 1] = 3, 2, 1
    found = look(tmp_path / "c.png", encoded(colours[..., ::-1]), "label", COLOURED)
    assert (found.problem, found.detail) == ("foreign", "colours (3, 2, 1)")
    assert look(tmp_path / "c.png", encoded(ids()), "label", COLOURED).problem == "mode"


def test_files_without_content(tmp_path):
    found = look(tmp_path / "a.png", b"")
    assert (found.bytes, found.checksum, found.problem) == (0, "", "empty")
    assert pictures.look(str(tmp_path / "none.png"), "image", STREET, True).problem == "missing"
    assert pictures.look(str(tmp_path / "a.png/b.png"), "image", STREET, True).problem == "missing"
    found = pictures.look(str(tmp_path), "image", STREET, True)
    assert (found.bytes, found.problem, found.detail) == (-1, "unreadable", "not a regular file")


def test_a_file_that_may_not_be_read(data_set, monkeypatch):
    root, frames = data_set
    if os.geteuid():
        (root / frames[1].image).chmod(0)
    else:  # Root may read everything.
        read = pictures._read

        def refuse(path):
            if path.endswith(frames[1].image):
                raise dataset_pictures.unopened(path, PermissionError(13, "Permission denied"))
            return read(path)

        monkeypatch.setattr(pictures, "_read", refuse)
    found = inspect(data_set)
    assert found["problem"].ne("").sum() == 1
    row = found.set_index("path").loc[frames[1].image]
    assert (row["problem"], row["detail"], row["bytes"]) == ("unreadable", "Permission denied", -1)
    monkeypatch.undo()
    (root / frames[1].image).chmod(0o644)
    # The time of a file does not change with its permissions, so nothing may be remembered.
    assert inspect(data_set)["problem"].eq("").all()


def test_the_table_has_every_file_once_in_the_order_of_the_listing(data_set):
    root, frames = data_set
    frames.append(frames[3]._replace(clip="again"))
    found = inspect(data_set)
    names = [name for one in frames[:-1] for name in (one.image, one.label) if name]
    assert found["path"].tolist() == names
    assert found.columns.tolist() == inspection.SCHEMA.names
    assert found["kind"].tolist() == ["label" if name.endswith("_id.png") else "image" for name in names]
    assert found["checksum"].tolist() == [manifest.checksum((root / name).read_bytes()) for name in names]
    assert (found["width"].dtype, found["deep"].dtype, found["modified"].dtype) == (np.int32, np.bool_, np.int64)
    assert [one is None for one in found["counts"]] == found["kind"].eq("image").tolist()


def test_foreign_files_are_found_and_own_ones_go_first(data_set, tmp_path, monkeypatch):
    foreign, frames = data_set
    root = tmp_path / "data"
    (root / "clip1").mkdir(parents=True)
    location.write_pointer(root, location.Location(str(foreign)))
    (root / frames[4].image).write_bytes(encoded(picture(99)))
    found = inspect((root, frames)).set_index("path")
    assert found["problem"].eq("").all()
    assert found.loc[frames[4].image, "checksum"] == manifest.checksum(encoded(picture(99)))
    assert found.loc[frames[5].image, "checksum"] == manifest.checksum(encoded(picture(5)))
    location.write_pointer(root, location.Location(None))
    with pytest.raises(UserError, match="not found"):
        inspect((root, frames))


def test_workers_do_not_change_the_result(data_set, monkeypatch):
    root, frames = data_set
    (root / frames[2].image).unlink()
    (root / frames[5].label).write_bytes(encoded(picture()))
    monkeypatch.setattr(inspection, "_CHUNK_FILES", 1)
    monkeypatch.setattr(inspection, "_PROCESS_SECONDS", 1e-9)
    alone = inspect(data_set)
    (root.parent / "records.parquet").unlink()
    together = inspect(data_set, workers=2)
    pd.testing.assert_frame_equal(alone, together)
    assert alone["problem"].value_counts().to_dict() == {"": 21, "missing": 1, "mode": 1}


def test_what_did_not_change_is_not_read_again(data_set, reads):
    first = inspect(data_set)
    assert len(reads) == 23
    reads.clear()
    pd.testing.assert_frame_equal(inspect(data_set), first)
    # A deep record serves a shallow call.
    pd.testing.assert_frame_equal(inspect(data_set, deep=False), first)
    assert reads == []


def test_a_changed_time_or_size_is_read_again(data_set, reads):
    root, frames = data_set
    before = inspect(data_set)
    touched, longer = root / frames[1].image, root / frames[2].image
    status = longer.stat()
    touched.write_bytes(encoded(picture(77)))
    os.utime(touched, ns=(1, 1))
    longer.write_bytes(longer.read_bytes() + b"x")
    os.utime(longer, ns=(status.st_atime_ns, status.st_mtime_ns))
    reads.clear()
    after = inspect(data_set).set_index("path")
    assert sorted(reads) == sorted([touched.name, longer.name])
    assert after.loc[frames[1].image, "checksum"] == manifest.checksum(encoded(picture(77)))
    assert after.loc[frames[2].image, "bytes"] == status.st_size + 1
    others = before[~before["path"].isin([frames[1].image, frames[2].image])].set_index("path")
    pd.testing.assert_frame_equal(after.loc[others.index], others)
    reads.clear()
    inspect(data_set)
    assert reads == []


def test_a_shallow_record_does_not_serve_a_deep_call(data_set, reads):
    assert not inspect(data_set, deep=False)["deep"].any()
    reads.clear()
    assert inspect(data_set)["deep"].all()
    assert len(reads) == 23


def test_labels_are_read_again_for_another_label_set(data_set, reads):
    inspect(data_set)
    reads.clear()
    found = inspect(data_set, CITYSCAPES)
    assert sorted(reads) == sorted(Path(one.label).name for one in data_set[1] if one.label)
    assert {len(one) for one in found["counts"] if one is not None} == {CITYSCAPES.count + 1}


def test_a_missing_file_that_comes_back_is_read(data_set, reads):
    root, frames = data_set
    data = (root / frames[3].image).read_bytes()
    (root / frames[3].image).unlink()
    assert inspect(data_set)["problem"].value_counts()["missing"] == 1
    (root / frames[3].image).write_bytes(data)
    reads.clear()
    assert inspect(data_set)["problem"].eq("").all()
    assert reads == [Path(frames[3].image).name]


def test_a_problem_is_remembered(data_set, reads):
    root, frames = data_set
    (root / frames[3].image).write_bytes(encoded(picture())[:-5])
    first = inspect(data_set)
    reads.clear()
    second = inspect(data_set)
    assert reads == [] and second["problem"].value_counts()["truncated"] == 1
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("deadly", [KeyboardInterrupt, UserError])
def test_an_interrupted_run_goes_on_where_it_was(data_set, reads, monkeypatch, deadly):
    counting = pictures._read

    def interrupted(path):
        if len(reads) == 10:
            raise deadly
        return counting(path)

    monkeypatch.setattr(inspection, "_CHUNK_FILES", 1)
    monkeypatch.setattr(pictures, "_read", interrupted)
    with pytest.raises(deadly):
        inspect(data_set)
    done = reads.copy()
    reads.clear()
    monkeypatch.setattr(pictures, "_read", counting)
    resumed = inspect(data_set)
    assert len(done) == 10 and len(reads) == 13 and not set(done) & set(reads)
    (data_set[0].parent / "records.parquet").unlink()
    pd.testing.assert_frame_equal(inspect(data_set), resumed)


KILLED = """
import os, pickle, signal, sys
from etc.sources.check import inspection, content as pictures
inspection._SAVE_SECONDS, inspection._SAVE_SHARE, inspection._CHUNK_FILES = 0.0, 1e9, 1
count, read = 0, pictures._read
def deadly(path):
    global count
    count += 1
    if count > 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path)
pictures._read = deadly
inspection.inspect(*pickle.load(sys.stdin.buffer))
"""


def test_a_killed_run_goes_on_where_it_was(data_set, reads):
    root, frames = data_set
    arguments = pickle.dumps((root, frames, STREET, root.parent / "records.parquet", 1, True, "inspect"))
    killed = subprocess.run([sys.executable, "-c", KILLED], input=arguments, cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    inspect(data_set)
    assert len(reads) == 13
    # Half a file of records is never seen, and what a killed run leaves of one does not stay in the way.
    assert len(pd.read_parquet(root.parent / "records.parquet")) == 23


def test_records_of_other_frames_are_kept(data_set, reads):
    root, frames = data_set
    inspect(data_set)
    reads.clear()
    assert len(inspect((root, frames[:4]))) == 7
    (root / frames[0].image).write_bytes(encoded(picture(50)))
    os.utime(root / frames[0].image, ns=(5, 5))
    assert len(inspect((root, frames[:4]))) == 7
    assert len(inspect(data_set)) == 23
    assert reads == [Path(frames[0].image).name]


@pytest.mark.parametrize("content", ["rubbish", "other columns"])
def test_damaged_records_are_ignored_with_one_line(data_set, reads, capsys, content):
    records = data_set[0].parent / "records.parquet"
    expected = inspect(data_set)
    if content == "rubbish":
        records.write_bytes(records.read_bytes()[:100])
    else:
        pd.read_parquet(records).drop(columns="detail").to_parquet(records)
    reads.clear()
    capsys.readouterr()
    pd.testing.assert_frame_equal(inspect(data_set), expected)
    assert len(reads) == 23
    notice = capsys.readouterr().err
    assert notice.count("\n") == 1 and "records.parquet" in notice and "every file is read again" in notice


@pytest.mark.skipif(not (DATA / "cityscapes_small").is_dir(), reason="needs real frames")
def test_real_frames_are_sound(tmp_path):
    root = DATA / "cityscapes_small"
    images = sorted(root.glob("leftImg8bit_sequence/*/*/*.png"))[:6]
    labels = sorted(root.glob("gtFine/*/*/*_labelIds.png"))[:6]
    assert images and labels
    for path, kind in [(path, "image") for path in images] + [(path, "label") for path in labels]:
        found = pictures.look(str(path), kind, CITYSCAPES, True)
        assert found.problem == "", (path, found)
        assert (found.height, found.width) == cv2.imread(str(path)).shape[:2]
