import pickle

import cv2
import numpy as np
import pandas as pd
import pytest

from etc.core.errors import UserError
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import STREET
from tests.dataset.coloured import COLOURED


def write(folder, image, label, label_set):
    """A data set of one frame; pictures are given as OpenCV writes them."""
    dataset = Dataset("mine", folder)
    dataset.root.mkdir(parents=True, exist_ok=True)
    row = {"clip": "walk", "frame": 1, "split": "train", "annotated": True, "width": 8, "height": 4}
    for name, pixels in (("image", image), ("label", label)):
        cv2.imwrite(str(dataset.root / f"{name}.png"), pixels)
        row[name] = f"{name}.png"
    data, truth = ((dataset.root / f"{name}.png").read_bytes() for name in ("image", "label"))
    row |= {"bytes": len(data), "checksum": manifest.checksum(data), "label_checksum": manifest.checksum(truth)}
    manifest.write(dataset.manifest, pd.DataFrame([row]), label_set)
    return dataset


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (4, 8, 3), np.uint8)


@pytest.fixture
def ids():
    return np.random.default_rng(1).choice(np.array([7, 8, 26, 0], np.uint8), (4, 8))


@pytest.fixture
def stored(tmp_path, image, ids):
    return write(tmp_path, image, ids, STREET)


def test_images_are_rgb_and_labels_are_train_ids(stored, image, ids):
    expected = np.select([ids == 7, ids == 8, ids == 26], [0, 1, STREET.names.index("car")], 255)
    for row in (stored.frames.iloc[0], stored.frames.iloc[0].to_dict()):
        np.testing.assert_array_equal(stored.image(row), image[..., ::-1])
        np.testing.assert_array_equal(stored.label(row), expected)


def test_labels_in_colours_are_read(tmp_path, image):
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[0, :3] = (1, 2, 3), (4, 5, 6), (7, 8, 9)
    dataset = write(tmp_path, image, picture[..., ::-1], COLOURED)
    label = dataset.label(dataset.frames.iloc[0])
    assert label[0, :4].tolist() == [0, 1, 1, 255] and (label[1:] == 255).all()


@pytest.mark.parametrize(
    ("label", "label_set", "message"),
    [
        (np.full((4, 8, 3), 9, np.uint8), COLOURED, r"colour \(9, 9, 9\) belongs to no class and is not ignored"),
        (np.zeros((4, 8), np.uint8), COLOURED, "8-bit grey PNG, not 8-bit RGB PNG"),
        (np.full((4, 8), 77, np.uint8), STREET, "id 77 belongs to no class and is not ignored in label set 'street'"),
        (np.zeros((4, 8, 3), np.uint8), STREET, "8-bit RGB, a colour picture, not class ids"),
        (np.full((4, 8), 256, np.uint16), STREET, "id 256, but ids are 0 to 255"),
    ],
)
def test_a_label_that_does_not_fit_the_label_set_is_refused(tmp_path, image, label, label_set, message):
    dataset = write(tmp_path, image, label, label_set)
    with pytest.raises(UserError, match=rf"label\.png: .*{message}"):
        dataset.label(dataset.frames.iloc[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "other.png"}, r"other\.png: no such file"),
        ({"image": "."}, "root: not a regular file"),
        ({"width": 9}, r"image\.png: 8x4 pixels, the manifest says 9x4"),
        ({"image": "junk.png", "checksum": manifest.checksum(b"junk")}, r"junk\.png: not a readable picture"),
        ({"image": "empty.png"}, r"empty\.png: the file is empty"),
    ],
)
def test_an_image_that_cannot_be_read_is_named(stored, change, message):
    (stored.root / "junk.png").write_bytes(b"junk")
    (stored.root / "empty.png").touch()
    with pytest.raises(UserError, match=message):
        stored.image(stored.frames.iloc[0].to_dict() | change)


def test_a_frame_without_a_label_is_named(stored):
    with pytest.raises(UserError, match="clip 'walk', frame 1: the frame has no label"):
        stored.label(stored.frames.iloc[0].to_dict() | {"label": ""})


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_file_that_changed_after_the_manifest_is_noticed(stored, name):
    path = stored.root / f"{name}.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=rf"{name}\.png: its content differs from the manifest"):
        getattr(stored, name)(stored.frames.iloc[0])


def test_the_manifest_is_read_once_and_not_sent_to_other_processes(stored):
    row = stored.frames.iloc[0].to_dict()
    image, label = stored.image(row), stored.label(row)
    there = pickle.loads(pickle.dumps(stored))
    assert there == stored and not {"frames", "label_set"} & set(vars(there))
    np.testing.assert_array_equal(there.image(row), image)
    np.testing.assert_array_equal(there.label(row), label)
    stored.manifest.unlink()
    assert len(stored.frames) == 1 and stored.label_set == STREET
    for read in (lambda: Dataset("mine", stored.data).frames, lambda: Dataset("mine", stored.data).label_set):
        with pytest.raises(UserError, match=r"mine/frames\.parquet: no such manifest; run the frames stage first"):
            read()


def test_a_data_set_lies_in_the_folder_of_its_name():
    street = Dataset("street")
    paths = [path.as_posix() for path in (street.folder, street.root, street.manifest)]
    assert paths == ["data/street", "data/street/root", "data/street/frames.parquet"]
