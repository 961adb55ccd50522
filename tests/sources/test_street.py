import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.dataset import manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import STREET
from etc.sources.street import street
from etc.sources.street.params import StreetParams

OFF = {"noise": 0, "flicker": 0, "blur": 0, "tint": 0}
SMALL = StreetParams.model_validate(
    {
        "height": 64,
        "width": 128,
        "frames_per_clip": 3,
        "annotated": 1,
        "max_offset": 2,
        "clips": {"train": 2, "dev": 1, "test": 1},
    }
)


def save_flow(path: Path, clip: street.Clip) -> None:
    buffer = io.BytesIO()
    for pair in sorted(clip.flows):
        np.save(buffer, clip.flows[pair][0])
        np.save(buffer, clip.flows[pair][1])
    with atomic(path) as stream:
        stream.write(buffer.getvalue())


def _generate(folder, params=SMALL, workers=1):
    return street.generate(params, folder / "root", folder / "frames.parquet", workers, save_flow, folder / "markers")


def _contents(folder):
    files = [*folder.glob("root/**/*.*"), folder / "frames.parquet"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("street")
    return folder, _generate(folder)


def test_a_clip_has_the_stated_arrays():
    clip = street.generate_clip(SMALL, "dev", 0)
    assert (clip.name, clip.split) == ("street_100000", "dev")
    assert clip.images.shape == (3, 64, 128, 3) and clip.images.dtype == np.uint8
    assert clip.labels.shape == (3, 64, 128) and clip.labels.dtype == np.uint8
    assert clip.labels.max() < STREET.count
    assert sorted(clip.flows) == [(t, s) for t in range(3) for s in range(3) if t != s]
    flow, visible = clip.flows[0, 1]
    assert flow.shape == (64, 128, 2) and flow.dtype == np.float32
    assert visible.shape == (64, 128) and visible.dtype == np.bool_


def test_max_offset_limits_the_pairs():
    clip = street.generate_clip(SMALL.model_copy(update={"max_offset": 1}), "train", 0)
    assert sorted(clip.flows) == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_zero_disturbance_shows_the_clean_frames():
    quiet = SMALL.model_copy(update={"disturbance": SMALL.disturbance.model_copy(update=OFF)})
    clean, disturbed = (street.generate_clip(params, "train", 0) for params in (quiet, SMALL))
    np.testing.assert_array_equal(clean.sources, disturbed.sources)
    assert not np.array_equal(clean.images, disturbed.images)
    flow, visible = clean.flows[0, 1]
    columns, rows = np.meshgrid(np.arange(128, dtype=np.float32), np.arange(64, dtype=np.float32))
    error = []
    for clip in (clean, disturbed):
        warped = cv2.remap(
            clip.images[1].astype(np.float32), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR
        )
        error.append(np.mean((warped - clip.images[0])[visible] ** 2))
    assert 10 * np.log10(255**2 / error[0]) >= 30
    assert error[1] > 4 * error[0]


def test_clips_of_all_splits_differ_and_do_not_depend_on_each_other():
    clips = [street.generate_clip(SMALL, split, number) for split in manifest.SPLITS for number in (0, 1)]
    first = {clip.sources[0].tobytes() for clip in clips}
    assert len(first) == len({clip.name for clip in clips}) == 6
    more = SMALL.model_copy(update={"clips": SMALL.clips.model_copy(update={"train": 50})})
    np.testing.assert_array_equal(street.generate_clip(more, "dev", 1).images, clips[3].images)
    other = street.generate_clip(SMALL.model_copy(update={"seed": 1}), "train", 0)
    assert not np.array_equal(other.sources, clips[0].sources)


def test_layout_is_that_of_cityscapes(generated):
    folder, frames = generated
    assert len(frames) == 12
    assert frames.groupby("split").size().to_dict() == {"train": 6, "dev": 3, "test": 3}
    assert frames.loc[frames["annotated"], "frame"].tolist() == [1, 1, 1, 1]
    dev = frames[frames["split"] == "dev"].iloc[2]
    assert dev["image"] == "leftImg8bit_sequence/val/street/street_100000_000002_leftImg8bit.png"
    assert dev["label"] == "gtFine/val/street/street_100000_000002_gtFine_labelIds.png"
    assert (folder / "root" / street.flow_path("dev", "street_100000")).is_file()


def test_files_hold_the_clip(generated):
    folder, frames = generated
    clip = street.generate_clip(SMALL, "train", 1)
    rows = frames[frames["clip"] == clip.name].to_dict("records")
    dataset = Dataset(folder.name, folder.parent)
    for row, image, label, source in zip(rows, clip.images, clip.labels, clip.sources, strict=True):
        np.testing.assert_array_equal(dataset.image(row), image)
        np.testing.assert_array_equal(dataset.label(row), label)
        on_disk = cv2.imread(str(folder / "root" / row["label"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(on_disk, source)


def test_two_workers_write_the_same_bytes_as_one(generated, tmp_path):
    _generate(tmp_path, workers=2)
    assert _contents(tmp_path) == _contents(generated[0])


def test_a_second_run_makes_only_what_is_missing_or_damaged(tmp_path, monkeypatch):
    _generate(tmp_path)
    before = _contents(tmp_path)
    made = []
    original = street.generate_clip

    def counted(params, split, number):
        made.append((split, number))
        return original(params, split, number)

    monkeypatch.setattr(street, "generate_clip", counted)
    _generate(tmp_path)
    assert made == []
    (tmp_path / "root" / street.image_path("train", "street_000001", 2)).unlink()
    (tmp_path / "root" / street.label_path("dev", "street_100000", 0)).write_bytes(b"damaged")
    (tmp_path / "root" / street.flow_path("test", "street_200000")).write_bytes(b"")
    _generate(tmp_path)
    assert made == [("train", 1), ("dev", 0), ("test", 0)]
    assert _contents(tmp_path) == before
    # A clip whose marker a killed run did not write is made again.
    (tmp_path / "markers" / "street_000000.json").unlink()
    _generate(tmp_path)
    assert made[3:] == [("train", 0)]
    # The annotated frame is a matter of the manifest; the disturbance is one of every clip.
    assert _generate(tmp_path, SMALL.model_copy(update={"annotated": 0}))["annotated"].tolist()[:3] == [
        True,
        False,
        False,
    ]
    assert len(made) == 4
    _generate(tmp_path, SMALL.model_copy(update={"disturbance": SMALL.disturbance.model_copy(update={"noise": 0.2})}))
    assert len(made) == 8


def test_files_of_removed_clips_go_and_foreign_files_stay(tmp_path):
    _generate(tmp_path)
    foreign = tmp_path / "root" / "gtFine" / "notes.txt"
    foreign.write_text("mine")
    fewer = SMALL.model_copy(update={"clips": SMALL.clips.model_copy(update={"train": 1, "test": 0})})
    frames = _generate(tmp_path, fewer)
    names = {file.name.split("_0000")[0] for file in (tmp_path / "root").glob("**/*.png")}
    assert sorted(frames["clip"].unique()) == ["street_000000", "street_100000"]
    assert len(list((tmp_path / "root").glob("**/*.png"))) == 2 * len(frames), names
    assert foreign.is_file()


def test_wrong_split_and_number_are_named():
    with pytest.raises(UserError, match="split 'val' is unknown"):
        street.generate_clip(SMALL, "val", 0)
    with pytest.raises(UserError, match="clip number -1"):
        street.generate_clip(SMALL, "train", -1)


def test_the_shipped_parameters_are_the_defaults():
    path = Path(__file__).parents[2] / "params" / "frames.yaml"
    block = yaml.safe_load(path.read_text())["street"]
    assert StreetParams.model_validate(block) == StreetParams()
