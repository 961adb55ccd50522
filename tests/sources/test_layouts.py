"""Clips and frames from file names."""

import pytest

from etc.core.errors import UserError
from etc.sources.folder.layouts import cityscapes_kind, read_folder


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root, suffixes=(".png",), **options):
    return {clip: list(files) for clip, files in read_folder(root, suffixes, **options).clips.items()}


def test_a_folder_per_clip(tmp_path):
    touch(tmp_path, "b/frame_0002.png", "b/frame_0010.png", "a/x/00001.png", "a/x/00000.png", "a/x/notes.txt")
    assert found(tmp_path) == {"a/x": [0, 1], "b": [2, 10]}
    assert not read_folder(tmp_path, [".png"]).cityscapes


def test_names_of_cityscapes_in_any_folders(tmp_path):
    touch(
        tmp_path,
        "val/frankfurt/frankfurt_000001_000003_leftImg8bit.png",
        "val/frankfurt/frankfurt_000001_000002_leftImg8bit.png",
        "val/bad-honnef/bad-honnef_000000_000019_leftImg8bit.png",
        "demo/stuttgart_00_000000_000001_leftImg8bit.png",
    )
    folder = read_folder(tmp_path, [".png"])
    assert folder.cityscapes
    assert {clip: list(files) for clip, files in folder.clips.items()} == {
        "bad-honnef_000000": [19],
        "frankfurt_000001": [2, 3],
        "stuttgart_00_000000": [1],
    }
    assert cityscapes_kind(folder.clips["frankfurt_000001"][2]) == "leftImg8bit"


def test_names_of_camvid_side_by_side(tmp_path):
    touch(tmp_path, "0016E5_07961.png", "0016E5_07959.png", "0006R0_f00930.png", "Seq05VD_f00000_L.png")
    assert found(tmp_path) == {"0006R0": [930], "0016E5": [7959, 7961], "Seq05VD": [0]}


def test_names_of_camvid_below_folders_of_splits(tmp_path):
    touch(tmp_path, "train/0001TP_006690.png", "train/0006R0_f00930.png", "val/0016E5_07959.png")
    assert found(tmp_path) == {"0001TP": [6690], "0006R0": [930], "0016E5": [7959]}


def test_bare_numbers_are_one_clip_that_matches_the_only_clip(tmp_path):
    bare = read_folder(touch(tmp_path / "p", "000.png", "001.png"), [".png"])
    named = read_folder(touch(tmp_path / "f", "walk_000.png", "walk_001.png"), [".png"])
    two = read_folder(touch(tmp_path / "g", "walk_000.png", "ride_001.png"), [".png"])
    assert list(bare.clips) == [""]
    assert named.match("") == named.clips["walk"] and bare.match("walk") == bare.clips[""]
    assert two.match("") is None and named.match("ride") is None


def test_hidden_files_and_other_types_are_left_out(tmp_path):
    touch(tmp_path, "a/0.png", "a/.1.png", ".cache/a/2.png", "a/3.jpg", "a/4.PNG")
    assert found(tmp_path) == {"a": [0, 4]}
    assert found(tmp_path, (".png", ".jpg")) == {"a": [0, 3, 4]}


def test_linked_folders_are_followed(tmp_path):
    touch(tmp_path, "store/0.png", "store/1.png")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a").symlink_to(tmp_path / "store")
    assert found(tmp_path / "clips") == {"a": [0, 1]}


def test_files_without_a_place_are_named(tmp_path):
    touch(tmp_path, "a/legend.png", "a/01.png", "a/1.png")
    strays = read_folder(tmp_path, [".png"]).strays
    assert len(strays) == 2
    assert "legend.png: no frame number" in strays[0]
    assert "a/1.png: the same clip and frame as" in strays[1]


def test_the_preferred_type_of_a_cityscapes_folder(tmp_path):
    names = [f"ulm_000000_000019_gtFine_{kind}.png" for kind in ("color", "labelIds", "labelTrainIds")]
    touch(tmp_path, *names[:2])
    assert len(read_folder(tmp_path, [".png"]).strays) == 1
    chosen = read_folder(tmp_path, [".png"], ("labelTrainIds", "labelIds"))
    assert not chosen.strays and chosen.clips["ulm_000000"][19].name == names[1]
    touch(tmp_path, names[2])
    assert read_folder(tmp_path, [".png"], ("labelTrainIds", "labelIds")).clips["ulm_000000"][19].name == names[2]


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_folder(tmp_path / "nowhere", [".png"])
    touch(tmp_path, "readme.txt")
    with pytest.raises(UserError, match="holds no .png or .jpg file"):
        read_folder(tmp_path, [".png", ".jpg"])
