"""Reading pictures of ids, frames and probabilities: right values, and one line for everything else."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from etc.core.errors import UserError
from etc.dataset.label_sets import CITYSCAPES
from etc.measure.id_maps import Frames, IdPictures, Probabilities, StoredIds

IDS = np.array([[0, 1, 2], [3, 255, 2]], np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def read(path, classes=4, **options):
    return IdPictures({5: path}, classes, **options)(5)


def test_grey_and_palette_pictures_give_their_ids(tmp_path):
    np.testing.assert_array_equal(read(save(tmp_path / "grey.png", IDS)), IDS)
    palette = Image.fromarray(IDS)
    palette.putpalette([7, 8, 9] * 256)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read(tmp_path / "palette.png"), IDS)


def test_ignored_ids_become_255(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 2, 11]], np.uint8))
    np.testing.assert_array_equal(read(path, 11, ignore=(11,)), [[0, 2, 255]])
    np.testing.assert_array_equal(read(path, 3, ignore=(2, 11)), [[0, 255, 255]])
    with pytest.raises(UserError, match="a.png: id 11, but there are 11 classes"):
        read(path, 11)
    # 255 is an id like others when another one is ignored.
    with pytest.raises(UserError, match=r"b.png: id 255, but there are 4 classes \(0 to 3; ignored: 11\)"):
        read(save(tmp_path / "b.png", IDS), 4, ignore=(11,))


def test_label_ids_are_recognised(tmp_path):
    path = save(tmp_path / "a.png", np.array([[7, 26, 33]], np.uint8))
    with pytest.raises(UserError, match="id 33, .* looks like Cityscapes label ids; convert it to train ids"):
        read(path, 19)
    with pytest.raises(UserError, match="give --classes and --ignore that fit"):
        read(path, 20)


def test_truth_named_label_ids_becomes_train_ids(tmp_path):
    path = save(tmp_path / "ulm_000000_000019_gtFine_labelIds.png", np.array([[7, 26, 0, 33]], np.uint8))
    np.testing.assert_array_equal(read(path, 19, convert=True), [[0, 13, 255, 18]])
    assert CITYSCAPES.names[13] == "car"
    with pytest.raises(UserError, match="stand for 19 classes, not 9: give --label-set cityscapes"):
        read(path, 9, convert=True)
    with pytest.raises(UserError, match="id 33"):
        read(path, 19)


def test_frames_and_ids_are_read_as_everywhere(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    files = {0: save(tmp_path / "0.png", colours)}
    np.testing.assert_array_equal(Frames(files)(0), colours)
    with pytest.raises(UserError, match=r"0.png: 8-bit RGB, a colour picture, not class ids"):
        read(files[0])
    with pytest.raises(UserError, match="b.png: no such file"):
        read(tmp_path / "b.png")


def test_the_largest_id(tmp_path):
    files = {0: save(tmp_path / "a.png", IDS), 1: save(tmp_path / "b.png", np.full((2, 2), 255, np.uint8))}
    largest = StoredIds(files).largest
    assert largest(0, (255,)) == 3 and largest(0, (255, 3)) == 2 and largest(0, ()) == 255
    assert largest(1, (255,)) == -1


def test_probabilities_of_both_formats(tmp_path):
    values = np.random.default_rng(0).dirichlet([1] * 3, (4, 5)).transpose(2, 0, 1)
    np.save(tmp_path / "0.npy", values.astype(np.float16))
    np.savez_compressed(tmp_path / "1.npz", probabilities=values.astype(np.float32))
    load = Probabilities({0: tmp_path / "0.npy", 1: tmp_path / "1.npz"})
    np.testing.assert_array_equal(load(0), values.astype(np.float16))
    np.testing.assert_array_equal(load(1), values.astype(np.float32))
    with pytest.raises(UserError, match="no probabilities of frame 2"):
        load(2)


def one_hot(value=1.0, dtype=np.float32):
    array = np.zeros((2, 3, 3), dtype)
    array[0] = value
    return array


def lie(path, told, instead):
    np.save(path, one_hot())
    data = path.read_bytes()
    assert told in data
    path.write_bytes(data.replace(told, instead))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"\x93NUMPY rubbish"), "not a readable NumPy file"),
        (lambda path: path.write_bytes(b""), "not a readable NumPy file"),
        (lambda path: lie(path, b"(2, 3, 3)", b"(9, 9, 9)"), "not a readable NumPy file"),
        (
            lambda path: lie(path, b"(2, 3, 3), }      ", b"(2, 3, 3000000), }"),
            "takes 72000000 bytes, but 72 follow",
        ),
        (lambda path: np.save(path, np.array([{}], object)), "not a readable NumPy file"),
        (lambda path: np.save(path, np.zeros((3, 3), np.float32)), r"this is float32 \(3, 3\)"),
        (lambda path: np.save(path, one_hot(dtype=np.float64)), "this is float64"),
        (lambda path: np.save(path, one_hot(3.0)), "its values are not probabilities"),
        (lambda path: np.save(path, one_hot(np.nan)), "its values are not probabilities"),
        (lambda path: np.save(path, one_hot() * 2 - one_hot()[::-1]), "its values are not probabilities"),
    ],
)
def test_what_is_no_probability_is_named(tmp_path, write, message):
    path = tmp_path / "0.npy"
    write(path)
    with pytest.raises(UserError, match=f"0.npy: .*{message}"):
        Probabilities({0: path})(0)


def test_archives_of_probabilities(tmp_path):
    path = tmp_path / "0.npz"
    np.savez(path, a=one_hot(), b=one_hot())
    with pytest.raises(UserError, match="0.npz: .*it holds 2 arrays"):
        Probabilities({0: path})(0)
    np.savez(path, a=one_hot())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="0.npz: not a readable NumPy file"):
        Probabilities({0: path})(0)


@pytest.mark.parametrize(
    ("ids", "classes", "ignore", "expected"),
    [
        ([[0, 1, 4, 255]], 4, (255,), [[255, 0, 3, 255]]),
        ([[0, 1, 254, 255]], 4, (254, 255), [[255, 0, 255, 255]]),
        ([[0, 1, 4]], 4, (1,), [[255, 255, 3]]),
        ([[0, 1, 255]], 255, (0,), [[255, 0, 254]]),
    ],
)
def test_labels_with_an_offset(tmp_path, ids, classes, ignore, expected):
    """As in VSPW and ADE20K: the class plus 1, and 0 is void. Ignored ids are those of the file."""
    path = save(tmp_path / "a.png", np.array(ids, np.uint8))
    np.testing.assert_array_equal(read(path, classes, ignore=ignore, convert=True, offset=1), expected)


def test_labels_whose_offset_is_missing_or_wrong(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 1, 4]], np.uint8))
    with pytest.raises(UserError, match=r"id 4, but there are 4 classes \(0 to 3.* give --label-offset 1"):
        read(path, 4, convert=True)
    with pytest.raises(
        UserError, match=r"id 4, but there are 2 classes \(1 to 2.*give --classes and --ignore that fit"
    ):
        read(path, 2, convert=True, offset=1)
    path = save(tmp_path / "ulm_000000_000019_gtFine_labelIds.png", np.array([[7, 26]], np.uint8))
    with pytest.raises(UserError, match="label ids, which have no offset: leave out --label-offset"):
        read(path, 19, convert=True, offset=1)


def header(shape, dtype="<f4", order=False):
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "shape",
    [
        (4, 6, 5),
        (2, 6, 5),
        (19, 10**6, 10**6),
        (10**30, 1, 1),
        (-3, -6, 5),
        (0, 10**9, 10**9),
        "(3, 6, 'x')",
        "(" * 500,
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_shape_that_lies_is_named_before_memory_is_asked_for(tmp_path, shape, suffix):
    data = header(shape) + np.zeros((3, 6, 5), "<f4").tobytes()
    path = tmp_path / f"0{suffix}"
    if suffix == ".npy":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", data)
    with pytest.raises(UserError, match=f"0{suffix}: not a readable NumPy file") as caught:
        Probabilities({0: path})(0)
    assert "\n" not in str(caught.value)


def test_arrays_by_columns_and_of_format_2(tmp_path):
    values = np.asfortranarray(one_hot())
    np.save(tmp_path / "0.npy", values)
    with open(tmp_path / "1.npy", "wb") as stream:
        np.lib.format.write_array(stream, values, version=(2, 0))
    for name in ("0.npy", "1.npy"):
        np.testing.assert_array_equal(Probabilities({0: tmp_path / name})(0), values)
    os.mkfifo(tmp_path / "2.npy")
    with pytest.raises(UserError, match="2.npy: not a regular file"):
        Probabilities({0: tmp_path / "2.npy"})(0)
