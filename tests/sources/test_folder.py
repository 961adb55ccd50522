"""A user's own folder of frames: layouts, labels, gaps, splits."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from etc.core.errors import UserError
from etc.sources.folder.folder import Folder, cut
from etc.sources.folder.params import FolderParams
from etc.sources.source import Gap
from tests.real_data import DATA

CITYSCAPES = DATA / "cityscapes"
ALL_TRAIN = {"train": ["*"]}


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listing(root, **params):
    values = {"classes": "cityscapes", "labels": None, "split": ALL_TRAIN} | params
    return Folder("own", FolderParams(**values)).list(root, root / "made", 1)


def by_clip(found):
    clips = {}
    for frame in found.frames:
        clips.setdefault(frame.clip, []).append(frame.frame)
    return clips


@pytest.mark.parametrize(
    ("names", "clips"),
    [
        (["b/f_0002.png", "b/f_0003.JPG", "a/x/0.webp", "a/x/1.tif"], {"a_x": [0, 1], "b": [2, 3]}),
        (["0016E5_07959.png", "0016E5_07961.png", "0006R0_f00930.png"], {"0016E5": [7959, 7961], "0006R0": [930]}),
        (
            ["val/bad-honnef/bad-honnef_000000_000019_leftImg8bit.png", "val/ulm/ulm_000001_000020_leftImg8bit.png"],
            {"bad-honnef_000000": [19], "ulm_000001": [20]},
        ),
        (["000.bmp", "001.bmp"], {"clip": [0, 1]}),
    ],
)
def test_layouts(tmp_path, names, clips):
    touch(tmp_path / "images", *names)
    found = listing(tmp_path)
    assert by_clip(found) == clips
    assert {frame.image for frame in found.frames} == {f"images/{name}" for name in names}
    assert {(frame.split, frame.annotated, frame.label) for frame in found.frames} == {("train", False, "")}
    assert found.notes == ("no clip is in split dev and test",)
    assert not (tmp_path / "made").exists()


def test_frames_in_the_root_itself(tmp_path):
    found = listing(touch(tmp_path, "a/0.png", "a/1.png", "b/0.png"), images=".")
    assert [frame.image for frame in found.frames] == ["a/0.png", "a/1.png", "b/0.png"]


def test_the_layout_of_vspw(tmp_path):
    touch(tmp_path / "data", *(f"{clip}/origin/{k:08}.jpg" for clip in ("1_a", "2_b") for k in (1, 2)))
    touch(tmp_path / "data", *(f"{clip}/mask/{k:08}.png" for clip in ("1_a", "2_b") for k in (1, 2)))
    found = listing(tmp_path, images="data", labels="data")
    assert by_clip(found) == {"1_a": [1, 2], "2_b": [1, 2]}
    first = found.frames[0]
    assert (first.image, first.label) == ("data/1_a/origin/00000001.jpg", "data/1_a/mask/00000001.png")
    with pytest.raises(UserError, match="walk/0.png: both a frame and a label"):
        listing(touch(tmp_path, "other/walk/0.png", "other/walk/1.png"), images="other", labels="other")


def test_labels_belong_by_clip_and_number(tmp_path):
    touch(tmp_path / "images", *(f"walk/{k:05d}.jpg" for k in range(8)), "ride/00000.jpg")
    touch(tmp_path / "labels", *(f"walk/frame_{k}.png" for k in (0, 2, 4, 6, 99)), "lost/1.png")
    found = listing(tmp_path, labels="labels", annotated=3)
    labels = {(frame.clip, frame.frame): frame.label for frame in found.frames if frame.label}
    assert labels == {("walk", k): f"labels/walk/frame_{k}.png" for k in (0, 2, 4, 6)}
    assert [frame.frame for frame in found.frames if frame.annotated] == [0, 6]
    assert "5 of 9 frames have no label" in found.notes
    assert "2 label files belong to no frame and are left out, first labels/lost/1.png" in found.notes
    assert not any(frame.annotated for frame in listing(tmp_path, labels="labels", annotated=0).frames)
    assert sum(frame.annotated for frame in listing(tmp_path, labels="labels").frames) == 4


def test_every_nth_label_is_counted_over_the_gaps_of_a_recording(tmp_path):
    numbers = (0, 1, 10, 11, 20, 21)
    for kind in ("images", "labels"):
        touch(tmp_path / kind, *(f"walk/{k}.png" for k in numbers))
    found = listing(tmp_path, labels="labels", annotated=3)
    assert [frame.frame for frame in found.frames if frame.annotated] == [0, 11]


def test_bare_numbers_of_one_clip_match_but_not_those_of_several(tmp_path):
    touch(tmp_path / "one/images", "walk/0.png", "walk/1.png")
    touch(tmp_path / "one/labels", "0.png", "1.png")
    assert all(frame.label for frame in listing(tmp_path / "one", labels="labels").frames)
    touch(tmp_path / "two/images", "walk/0.png", "ride/0.png")
    touch(tmp_path / "two/labels", "0.png")
    with pytest.raises(UserError, match=r"two/labels: no label matches a frame: .*the frames' ride, walk"):
        listing(tmp_path / "two", labels="labels")


def test_the_kind_of_cityscapes_labels_follows_the_classes(tmp_path):
    stem = "ulm_000000_000019"
    touch(tmp_path / "images", f"{stem}_leftImg8bit.png")
    touch(tmp_path / "labels", *(f"{stem}_gtFine_{kind}.png" for kind in ("color", "instanceIds", "labelIds")))
    classes = [{"name": "a", "colour": [1, 1, 1]}, {"name": "b", "colour": [2, 2, 2]}]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"labels": "colours", "classes": classes}))
    assert listing(tmp_path, labels="labels").frames[0].label == f"labels/{stem}_gtFine_labelIds.png"
    assert listing(tmp_path, labels="labels", classes="own.yaml").frames[0].label.endswith("_color.png")


@pytest.mark.parametrize("kind", ["ids", "colours"])
def test_label_files_are_read_as_the_class_file_says(tmp_path, kind):
    classes = [
        {"name": "road", "ids": [3], "colour": [128, 64, 128]},
        {"name": "car", "ids": [5], "colour": [0, 0, 142]},
    ]
    train = np.array([[0, 1], [1, 255]], np.uint8)
    ids, colours = np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8)
    for place, one in enumerate(classes):
        ids[train == place], colours[train == place] = one["ids"][0], one["colour"]
    touch(tmp_path / "images", "a/0.png")
    (tmp_path / "labels/a").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "labels/a/0.png"), ids if kind == "ids" else colours[..., ::-1])
    ignored = {"ignore": [0]} if kind == "ids" else {"ignore_colours": [[0, 0, 0]]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"labels": kind, "classes": classes} | ignored))
    found = listing(tmp_path, labels="labels", classes="own.yaml")
    pixels = cv2.imread(str(tmp_path / found.frames[0].label), cv2.IMREAD_UNCHANGED)
    content = pixels if kind == "ids" else np.ascontiguousarray(pixels[..., ::-1])
    assert found.label_set.foreign(content) == []
    np.testing.assert_array_equal(found.label_set.encode(content), train)


def test_a_gap_begins_a_new_clip(tmp_path):
    touch(tmp_path / "images", *(f"walk/{k}.png" for k in (0, 2, 4, 10, 12, 14, 15)), "ride/0.png", "ride/1.png")
    found = listing(tmp_path)
    assert by_clip(found) == {
        "ride": [0, 1], "walk_000000": [0, 2, 4], "walk_000010": [10, 12, 14], "walk_000015": [15]
    }  # fmt: skip
    assert any(
        "clip walk is split into 3 clips where its numbering departs from the step of 2" in one for one in found.notes
    )
    assert not any("ride" in one for one in found.notes)
    # At 15 the numbering departs from its step, but no number is missing.
    assert found.gaps == (Gap("walk_000010", 10, 4, 2),)
    assert [list(one.frames) for one in cut("a", {5: Path("5.png")})] == [[5]]


def test_numbers_without_a_step_are_doubted(tmp_path):
    touch(tmp_path / "images", *(f"walk/{k}.png" for k in (0, 3, 7, 12, 18)))
    found = listing(tmp_path)
    assert any("of one frame: are its frames numbered in steps?" in one for one in found.notes)
    assert found.gaps == ()


def test_gaps_need_a_step_that_half_of_the_frames_keep(tmp_path):
    touch(tmp_path / "images", *(f"a/{k}.png" for k in (0, 1, 9)), *(f"b/{k}.png" for k in (0, 1, 9, 20)))
    assert listing(tmp_path).gaps == (Gap("a_000009", 9, 1, 7),)


def test_gaps_before_clips_of_no_split_are_not_told(tmp_path):
    touch(tmp_path / "images", *(f"a/{k}.png" for k in (0, 1, 2, 4, 5, 7, 8)))
    found = listing(tmp_path, split={"train": ["a_000000"], "test": ["a_000007"]})
    assert found.gaps == (Gap("a_000007", 7, 5, 1),)


def test_a_long_jump_between_names_of_cityscapes_begins_the_next_clip(tmp_path):
    touch(tmp_path / "images", *(f"ulm_000000_{k:06d}_leftImg8bit.png" for k in (1, 2, 3, 5, 6, 11, 12, 18, 19)))
    assert listing(tmp_path).gaps == (
        Gap("ulm_000000_000005", 5, 3, 1),
        Gap("ulm_000000_000011", 11, 6, 4),
    )


def test_strays_are_noted(tmp_path):
    touch(tmp_path / "images", "a/0.png", "a/legend.png", "a/00.png")
    notes = listing(tmp_path).notes
    assert any(one.startswith("left out: images/a/legend.png: no frame number") for one in notes)
    assert any("the same clip and frame as images/a/" in one for one in notes)
    touch(tmp_path / "images", *(f"a/{letter}.png" for letter in "bcdefgh"))
    assert "... and 6 more files of images left out" in listing(tmp_path).notes


def test_numbers_beyond_32_bits_are_refused(tmp_path):
    touch(tmp_path / "images", "a/1683000000123.png")
    with pytest.raises(UserError, match=r"1683000000123\.png: frame number 1683000000123 is above 2147483647; number"):
        listing(tmp_path)


def test_wrong_folders(tmp_path):
    with pytest.raises(UserError, match=r"images: no such folder; correct images in params/frames\.yaml"):
        listing(tmp_path)
    touch(tmp_path / "images", "readme.txt")
    with pytest.raises(UserError, match=r"images: the folder holds no \.png or \.jpg"):
        listing(tmp_path)
    touch(tmp_path / "images", "0.png")
    with pytest.raises(UserError, match=r"truth: no such folder; correct labels .* or null where there are none"):
        listing(tmp_path, labels="truth")


def test_where_it_lies_and_that_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.delenv("ETC_ROOT_OWN", raising=False)
    source = Folder("own", FolderParams(classes="street"))
    assert source.location.find() is None
    with pytest.raises(
        UserError, match=r"'own': .*nothing to download; .*'root' in params/frames\.yaml or ETC_ROOT_OWN"
    ):
        source.fetch(True)
    monkeypatch.setenv("ETC_ROOT_OWN", str(tmp_path))
    assert source.location.find() == tmp_path.resolve()


@pytest.mark.skipif(not CITYSCAPES.is_dir(), reason="needs the sample of Cityscapes")
def test_real_cityscapes_labels_match():
    found = listing(CITYSCAPES, images="leftImg8bit_sequence", labels="gtFine")
    labelled = [frame for frame in found.frames if frame.label]
    assert labelled and len(labelled) < len(found.frames)
    for frame in labelled:
        assert Path(frame.label).name.split("_gtFine")[0] == Path(frame.image).name.split("_leftImg8bit")[0]
        assert found.label_set.foreign(cv2.imread(str(CITYSCAPES / frame.label), cv2.IMREAD_UNCHANGED)) == []
