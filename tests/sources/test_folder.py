"""A user's own folder of frames: layouts, labels, gaps, splits."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from etc.core.errors import UserError
from etc.core.params_file import load_block
from etc.sources.clip_names import safe_names
from etc.sources.folder.folder import Folder, cut
from etc.sources.folder.params import FolderParams
from etc.sources.source import Gap
from etc.sources.splits import Candidate, Splits, counts, deal

CITYSCAPES = Path(__file__).parents[3] / "shared" / "data" / "cityscapes"
ALL_TRAIN = {"train": ["*"]}


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listing(root, **params):
    given = {"classes": "cityscapes", "labels": None, "split": ALL_TRAIN} | params
    return Folder("own", FolderParams(**given)).list(root, root / "made", 1)


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
    with pytest.raises(UserError, match=r"two/labels: no label belongs to a frame; .*frames have ride, walk"):
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
    assert any("clip walk is cut into 3 clips, where its numbering leaves its step of 2" in one for one in found.notes)
    assert not any("ride" in one for one in found.notes)
    # At 15 the numbering leaves its step, but no number is missing.
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
    with pytest.raises(UserError, match=r"images: no such folder, but images in params/frames\.yaml names it; correct"):
        listing(tmp_path)
    touch(tmp_path / "images", "readme.txt")
    with pytest.raises(UserError, match=r"images: the folder holds no \.png or \.jpg"):
        listing(tmp_path)
    touch(tmp_path / "images", "0.png")
    with pytest.raises(UserError, match=r"truth: no such folder, but labels .* or null where there are none"):
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


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{classes: street, images: ../x}", r"key 'own\.images' = '\.\./x': must be a folder below root"),
        ("{classes: street, labels: /x}", r"key 'own\.labels' = '/x': must be a folder below root"),
        ("{classes: street, images: '.'}", r"images is '\.' and labels is 'labels', one inside the other"),
        ("{images: a}", r"key 'own\.classes' is missing"),
        ("{classes: street, split: {train: 0.5}}", r"shares of train, dev and test add up to 0\.5; make it 1"),
        ("{classes: street, split: {train: 1.5}}", r"key 'own\.split\.train' = 1\.5: a share must be from 0 to 1"),
        ("{classes: street, split: {train: 0.5, dev: [a]}}", r"shares and lists of clips are mixed"),
        ("{classes: street, split: {train: a}}", r"key 'own\.split\.train' = 'a': give a share .* or a list"),
        ("{classes: street, split: {train: []}}", r"lists of train, dev and test are empty"),
        ("{classes: street, split: {}}", r"no split is given"),
        ("{classes: street, annotated: -1}", r"key 'own\.annotated' = -1: .*allowed: >= 0 and <= 1000000"),
        ("{classes: street, stride: 1}", r"key 'own\.stride' = 1 is unknown"),
    ],
)
def test_wrong_parameters_are_explained_in_one_line(tmp_path, block, message):
    (tmp_path / "frames.yaml").write_text(f"own: {block}\n")
    with pytest.raises(UserError, match=message) as raised:
        load_block(tmp_path / "frames.yaml", "own", FolderParams)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValidationError):
        FolderParams(**yaml.safe_load(block))


def candidates(**recordings):
    return [Candidate(f"{name}_{k}", name) for name, count in recordings.items() for k in range(count)]


def test_lists_and_patterns():
    clips = [Candidate("walk_1", "city/walk"), Candidate("walk_2", "city/walk"), Candidate("ride", "ride [1]")]
    chosen, notes = deal(clips, Splits(train=["walk_1"], test=["ride [[]1]"]))
    assert chosen == {"walk_1": "train", "ride": "test"}
    assert notes == ["1 clip is in no split and left out: walk_2", "no clip is in split dev"]
    assert deal(clips, Splits(train=["city/*"], dev=["ride [1]"]))[0] == dict.fromkeys(
        ("walk_1", "walk_2"), "train"
    ) | {"ride": "dev"}
    with pytest.raises(UserError, match=r"split\.dev: no clip is called 'wlak'; there are 3: walk_1, walk_2, ride"):
        deal(clips, Splits(train=["*"], dev=["wlak"]))
    with pytest.raises(UserError, match=r"split\.test: 'walk_2' means clip 'walk_2', which split\.train has too"):
        deal(clips, Splits(train=["city/*"], test=["walk_2"]))


def test_shares_deal_whole_recordings_by_seed():
    clips = candidates(**{f"r{k:02d}": 3 for k in range(20)})
    chosen, notes = deal(clips, Splits(train=0.7, dev=0.1, test=0.2))
    assert notes == []
    assert Counter(chosen.values()) == {"train": 42, "dev": 6, "test": 12}
    assert len({(one.recording, chosen[one.clip]) for one in clips}) == 20
    assert deal(clips, Splits(train=0.7, dev=0.1, test=0.2))[0] == chosen
    assert deal(clips, Splits(train=0.7, dev=0.1, test=0.2, seed=1))[0] != chosen
    assert set(deal(clips, Splits(test=1.0))[0].values()) == {"test"}


def test_the_clips_of_few_recordings_are_dealt_in_order_of_time():
    chosen, notes = deal(candidates(walk=10), Splits(train=0.8, dev=0.1, test=0.1))
    assert list(chosen.values()) == ["train"] * 8 + ["dev", "test"]
    assert notes[0].startswith("fewer recordings (1) than splits with a share (3): the 10 clips are dealt in order")
    chosen, notes = deal(candidates(walk=1), Splits(train=0.8, dev=0.1, test=0.1))
    assert chosen == {"walk_0": "train"} and notes == ["no clip is in split dev and test"]


@pytest.mark.parametrize(
    ("number", "parts"),
    [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (10, [7, 1, 2]), (13, [9, 1, 3])],
)
def test_counts_add_up_and_leave_no_share_empty(number, parts):
    assert list(counts(number, {"train": 0.7, "dev": 0.1, "test": 0.2}).values()) == parts
    assert sum(counts(number, {"train": 0.7, "dev": 0.1, "test": 0.2}).values()) == number


def test_safe_names():
    names = ["a/walk", "walk", "Übung 1", "日本", "WALK", "-x", "a b", "a_b", "plain_1"]
    safe = safe_names(names)
    assert safe["a/walk"] == "a_walk" and safe["Übung 1"] == "Ubung_1" and safe["plain_1"] == "plain_1"
    assert safe["-x"] == "x" and safe["日本"].startswith("clip_")
    assert all(one.replace("_", "").isalnum() and one.isascii() for one in safe.values())
    assert len({one.lower() for one in safe.values()}) == len(names)
    assert safe_names(reversed(names)) == safe
    assert safe_names(["bad-honnef_1"], keep="-") == {"bad-honnef_1": "bad-honnef_1"}
    assert safe_names([" -a"], keep="-") == {" -a": "a"}


@pytest.mark.skipif(not CITYSCAPES.is_dir(), reason="needs the sample of Cityscapes")
def test_real_cityscapes_labels_match():
    found = listing(CITYSCAPES, images="leftImg8bit_sequence", labels="gtFine")
    labelled = [frame for frame in found.frames if frame.label]
    assert labelled and len(labelled) < len(found.frames)
    for frame in labelled:
        assert Path(frame.label).name.split("_gtFine")[0] == Path(frame.image).name.split("_leftImg8bit")[0]
        assert found.label_set.foreign(cv2.imread(str(CITYSCAPES / frame.label), cv2.IMREAD_UNCHANGED)) == []
