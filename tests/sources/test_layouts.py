"""Clips and frames from file names."""

import os

import pytest

from etc.core.errors import UserError
from etc.sources.folder.layouts import VSPW_FRAMES, VSPW_LABELS, cityscapes_kind, detected_step, one_step, read_folder


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
    assert named.match("", bare) == named.clips["walk"] and bare.match("walk", named) == bare.clips[""]
    assert two.match("", bare) is None and named.match("ride", two) is None
    # Bare numbers are not those of each of several clips.
    assert bare.match("walk", two) is bare.match("ride", two) is None


def test_hidden_files_and_other_types_are_left_out(tmp_path):
    touch(tmp_path, "a/0.png", "a/.1.png", ".cache/a/2.png", "a/3.jpg", "a/4.PNG")
    assert found(tmp_path) == {"a": [0, 4]}
    assert found(tmp_path, (".png", ".jpg")) == {"a": [0, 3, 4]}


def test_vspw_has_frames_and_labels_below_each_clip(tmp_path):
    touch(tmp_path, "1_a/origin/00000001.jpg", "1_a/origin/00000002.jpg", "1_a/mask/00000001.png")
    touch(tmp_path, "more/2_b/origin/00000003.jpg", "more/2_b/mask/00000003.png")
    assert found(tmp_path, (".png", ".jpg"), vspw=VSPW_FRAMES) == {"1_a": [1, 2], "more/2_b": [3]}
    assert found(tmp_path, (".png",), vspw=VSPW_LABELS) == {"1_a": [1], "more/2_b": [3]}
    assert found(tmp_path / "1_a", (".png",), vspw=VSPW_LABELS) == {"": [1]}
    assert found(tmp_path / "1_a/origin", (".jpg",), vspw=VSPW_FRAMES) == {"": [1, 2]}
    touch(tmp_path, "3_c/00000001.png")
    assert "1_a/mask" in found(tmp_path, (".png",), vspw=VSPW_LABELS)
    with pytest.raises(UserError, match="no folder 'origin' holds a .png file"):
        read_folder(touch(tmp_path / "x", "1/mask/1.png"), [".png"], vspw=VSPW_FRAMES)


@pytest.mark.parametrize(
    ("names", "clips"),
    [
        (["00000000_pred.png", "00000001_pred.png"], {"": [0, 1]}),
        (["a/00000000_pred.png", "b/00000001_pred.png"], {"a": [0], "b": [1]}),
        (["0016E5_07959_L.png", "0016E5_07961_label.png"], {"0016E5": [7959, 7961]}),
        (["frame (1).png", "frame (10).png", "frame (2).png"], {"frame": [1, 2, 10]}),
        (["walk/frame (1).png", "ride/img(2).png"], {"ride": [2], "walk": [1]}),
        (["000000_10.png", "000000_11.png", "000001_10.png"], {"000000": [10, 11], "000001": [10]}),
        (["1700000000033333333.png", "1700000000066666667.png"], {"": [1700000000033333333, 1700000000066666667]}),
        (["1305031102.975304.png", "1305031103.043.png"], {"": [1305031102975304000, 1305031103043000000]}),
        (["a/t_1305031102.9_pred.png", "a/t_1305031103.1_pred.png"], {"a": [1305031102900000000, 1305031103100000000]}),
    ],
)
def test_names_of_the_field(tmp_path, names, clips):
    folder = read_folder(touch(tmp_path, *names), [".png"])
    assert {clip: list(files) for clip, files in folder.clips.items()} == clips and not folder.strays


def test_a_number_in_brackets_after_a_name_with_a_number_is_a_copy(tmp_path):
    folder = read_folder(touch(tmp_path, "a/0001.png", "a/0001 (1).png", "a/0002.png"), [".png"])
    assert list(folder.clips["a"]) == [1, 2] and list(folder.clips) == ["a"]
    (stray,) = folder.strays
    assert "0001 (1).png: no frame number" in stray


@pytest.mark.parametrize("number", [2**63, 10**100])
def test_a_number_that_no_table_holds_is_named(tmp_path, number):
    folder = read_folder(touch(tmp_path, "a/1.png", f"a/{number}.png", f"a/{2**63 - 1}.png"), [".png"])
    assert list(folder.clips["a"]) == [1, 2**63 - 1]
    assert f"a/{number}.png: its frame number is above {2**63 - 1}" in folder.strays[0]


def test_names_that_are_not_utf_8_are_refused(tmp_path):
    touch(tmp_path, os.fsdecode(b"walk\xff/0.png"))
    with pytest.raises(UserError, match=r"walk\\udcff/0.png': this name is not UTF-8"):
        read_folder(tmp_path, [".png"])
    assert found(touch(tmp_path / "other", "größe/0.png")) == {"größe": [0]}


def test_links_that_lead_back_are_not_followed(tmp_path):
    touch(tmp_path, "root/a/0.png", "root/b/1.png")
    for link, target in (
        ("root/a/self", "root/a"),
        ("root/a/up", "root"),
        ("root/b/out", "."),
        ("root/a/other", "root/b"),
        ("root/b/other", "root/a"),
        ("root/b/nowhere", "root/b/nowhere"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target)
    # Each is reached directly and by way of the other, and that is all.
    assert found(tmp_path / "root") == {"a": [0], "a/other": [1], "b": [1], "b/other": [0]}


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


NANOSECONDS = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("differences", "step"),
    [([33, 34, 33, 33, 67], 33), ([33, 34], 33), ([40], 40), ([1, 1, 10**12], 1)],
)
def test_the_step_of_times_is_the_median_difference(differences, step):
    times = [NANOSECONDS + sum(differences[:place]) for place in range(len(differences) + 1)]
    assert detected_step(times) == step


@pytest.mark.parametrize(
    ("source", "target", "step", "expected"),
    [
        (0, 2, 2, True),
        (0, 3, 2, False),
        (NANOSECONDS, NANOSECONDS + 33, 33, True),
        (NANOSECONDS, NANOSECONDS + 49, 33, True),
        (NANOSECONDS, NANOSECONDS + 50, 33, False),
        (NANOSECONDS, NANOSECONDS + 16, 33, False),
        (2, 9_999_999_999_999_999, 1, False),
    ],
)
def test_times_may_be_up_to_half_a_step_off(source, target, step, expected):
    assert one_step(source, target, step) is expected
