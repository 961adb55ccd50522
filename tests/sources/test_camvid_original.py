"""The original form: labels in colours, the two mappings, and neighbours cut from videos."""

from collections import Counter

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.dataset import pictures
from etc.sources.camvid import classes as camvid_classes
from etc.sources.camvid import neighbours as camvid_neighbours
from etc.sources.camvid.camvid import CamVid
from etc.sources.camvid.params import MOST_NEIGHBOURS, CamVidParams
from etc.sources.camvid.stills import COUNTS, lacking, parse
from etc.sources.source import Gap
from tests.sources.camvid_world import PUBLISHED, SHAPE, empty_files, original, picture, video, write

ALL = [name for names in PUBLISHED.values() for name in names]
# Every second frame, and one a second, of one recording.
CLIP = [f"0016E5_{n:05d}" for n in range(7959, 7980, 2)]
STILLS = ["0016E5_07920", *CLIP]


def source(root, **values):
    return CamVid("camvid", CamVidParams(root=str(root), form="original", **{"mapping": "merge", **values}))


def listing(root, made=None, workers=1, **values):
    return source(root, **values).list(root, made or root.parent / "made", workers)


def test_the_published_split_has_the_published_numbers(tmp_path):
    empty_files(tmp_path / "r" / "701_StillsRaw_full", [f"{name}.png" for name in ALL])
    empty_files(tmp_path / "r" / "LabeledApproved_full", [])
    found = listing(tmp_path / "r")
    assert len(ALL) == 701
    assert Counter(frame.split for frame in found.frames) == COUNTS
    assert not any(frame.annotated or frame.label for frame in found.frames)
    assert any("701 frames have no label" in note for note in found.notes)


@pytest.mark.parametrize("below", ["", "CamVid/"])
def test_frames_labels_and_splits(tmp_path, below):
    names = ["0001TP_008520", "0001TP_008550", "0006R0_f00930", "Seq05VD_f00000", *CLIP]
    original(tmp_path / "r" / below, names)
    write(tmp_path / "r" / below / "701_StillsRaw_full" / "0099XX_00001.png", picture(1))
    found = listing(tmp_path / "r", split="published")
    rows = {frame.clip: frame for frame in found.frames}
    assert rows["0006R0_f00930"] == (
        "0006R0_f00930",
        930,
        "train",
        True,
        f"{below}701_StillsRaw_full/0006R0_f00930.png",
        f"{below}LabeledApproved_full/0006R0_f00930_L.png",
    )
    splits = {clip: row.split for clip, row in rows.items()}
    assert splits == {
        "0001TP_008520": "train",
        "0001TP_008550": "test",
        "0006R0_f00930": "train",
        "Seq05VD_f00000": "test",
        "0016E5_07959": "dev",
    }
    assert Counter(frame.clip for frame in found.frames)["0016E5_07959"] == len(CLIP)
    assert any("1 frame is in no published split" in note and "0099XX_00001" in note for note in found.notes)


def test_a_folder_in_a_folder_of_its_name(tmp_path):
    original(tmp_path / "r" / "701_StillsRaw_full", CLIP[:1])
    (tmp_path / "r/701_StillsRaw_full/LabeledApproved_full").rename(tmp_path / "r/LabeledApproved_full")
    (frame,) = listing(tmp_path / "r").frames
    assert frame.image == "701_StillsRaw_full/701_StillsRaw_full/0016E5_07959.png"
    assert (tmp_path / "r" / frame.label).is_file()


def test_missing_folders_are_named(tmp_path):
    (tmp_path / "r" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no folder 701_StillsRaw_full.*or set form: segnet"):
        listing(tmp_path / "r")
    original(tmp_path / "s", CLIP[:1])
    (tmp_path / "s" / "LabeledApproved_full").rename(tmp_path / "s" / "labels")
    with pytest.raises(UserError, match="holds no folder LabeledApproved_full"):
        listing(tmp_path / "s")


def test_the_mappings_name_every_class_once():
    colours = {row["class"]: row["colour"] for row in camvid_classes.table("colours")}
    assert len(colours) == len(set(colours.values())) == 32
    for name in ("drop", "merge"):
        rows = camvid_classes.table(name)
        assert {row["class"]: row["colour"] for row in rows} == colours
        assert {row["target"] for row in rows} == {*camvid_classes.SEGNET.names, "Void"}
    dropped = {row["class"]: row["target"] for row in camvid_classes.table("drop")}
    merged = {row["class"]: row["target"] for row in camvid_classes.table("merge")}
    kept = {one: target for one, target in dropped.items() if target != "Void"}
    assert len(kept) == 11 and len(set(kept.values())) == 11
    assert {one for one, target in merged.items() if target == "Void"} == {"Void"}
    assert all(merged[one] == target for one, target in kept.items())
    others = {one: target for one, target in kept.items() if one != target}
    assert others == {"Column_Pole": "Pole", "Sidewalk": "Pavement"}
    assert (merged["LaneMkgsDriv"], merged["Child"], merged["Truck_Bus"]) == ("Road", "Pedestrian", "Car")


def test_labels_are_read_by_colour(tmp_path):
    lane, road, void, sky = (128, 0, 192), (128, 64, 128), (0, 0, 0), (128, 128, 128)
    write(tmp_path / "l.png", np.array([[lane, road], [void, sky]], np.uint8))
    content = pictures.read(tmp_path / "l.png", "colours")
    for mapping, expected in (("merge", [[3, 3], [255, 0]]), ("drop", [[255, 3], [255, 0]])):
        label_set = camvid_classes.original(mapping)
        assert label_set.in_colours and label_set.name == f"camvid_{mapping}"
        assert label_set.encode(content).tolist() == expected
        assert type(label_set).from_json(label_set.to_json()) == label_set


def test_stray_colours_are_told_and_too_many_are_refused(tmp_path):
    root = original(tmp_path / "r", CLIP[:2])
    path = root / "LabeledApproved_full" / f"{CLIP[1]}_L.png"
    label = cv2.imread(str(path))[..., ::-1].copy()
    label[0, :5] = (26, 26, 26)
    write(path, label)
    found = listing(root)
    assert [note for note in found.notes if "32 colours" in note] == [
        f"{path.name}: 5 pixels have none of CamVid's 32 colours and are ignored"
    ]
    assert found.label_set.foreign(label) == [] and found.label_set.encode(label)[0, 0] == 255
    label[:2] = (26, 26, 26)
    write(path, label)
    with pytest.raises(UserError, match=rf"{path.name}: 96 of 1728 pixels have none"):
        listing(root)
    write(path, np.zeros(SHAPE, np.uint8))
    with pytest.raises(UserError, match="8-bit grey PNG, not 8-bit RGB PNG"):
        listing(root)


def with_videos(tmp_path, first=7900, count=100, **values):
    root = original(tmp_path / "r", STILLS)
    path = video(tmp_path / "v" / "0016E5.avi", range(first, first + count))
    return root, path, {"videos": str(tmp_path / "v"), "neighbours": 2, **values}


@pytest.mark.parametrize("known", [{}, {"first_frames": {"0016E5": 7900}}])
def test_neighbours_are_cut_at_the_right_numbers(tmp_path, known):
    root, _, values = with_videos(tmp_path, **known)
    made = tmp_path / "made"
    found = listing(root, made, **values)
    clips = {clip: [f.frame for f in found.frames if f.clip == clip] for clip in {f.clip for f in found.frames}}
    assert clips == {"0016E5_07918": list(range(7918, 7923)), "0016E5_07957": list(range(7957, 7982))}
    for frame in found.frames:
        still = f"0016E5_{frame.frame:05d}" in STILLS
        path = (root if still else made) / frame.image
        np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], picture(frame.frame))
        assert bool(frame.label) == still
        assert frame.annotated == (frame.frame == 7920)
        assert still or frame.image == f"cut/0016E5/0016E5_{frame.frame:05d}.png"
    assert any("0016E5.avi begins with frame 7900" in note for note in found.notes)
    assert not list(root.rglob("cut"))
    assert found.gaps == ()


def test_a_still_that_is_missing_among_its_neighbours_is_a_gap(tmp_path):
    root, _, values = with_videos(tmp_path)
    (root / "701_StillsRaw_full" / "0016E5_07969.png").unlink()
    assert listing(root, tmp_path / "two", **values).gaps == ()  # Its neighbours' neighbours fill its place.
    found = listing(root, tmp_path / "one", **{**values, "neighbours": 1})
    assert found.gaps == (Gap("0016E5_07970", 7970, 7968, 1),)


def test_the_neighbours_of_two_stills_are_apart_by_nature():
    for neighbours in range(MOST_NEIGHBOURS + 1):
        assert lacking("Seq05VD", 30 + neighbours, 59 - neighbours, 1, neighbours) == 0
    assert lacking("Seq05VD", 30, 45, 1) == 14


def test_a_larger_video_is_scaled_to_the_stills(tmp_path):
    shape = (72, 96)
    root, path, values = with_videos(tmp_path, count=1)
    path.unlink()
    for name in STILLS:
        still = cv2.resize(picture(parse(name).number, shape), SHAPE[::-1], interpolation=cv2.INTER_AREA)
        write(root / "701_StillsRaw_full" / f"{name}.png", still)
    video(path, range(7900, 8000), shape=shape)
    found = listing(root, tmp_path / "made", **values)
    assert cv2.imread(str(tmp_path / "made" / "cut" / "0016E5" / "0016E5_07919.png")).shape[:2] == SHAPE
    assert len(found.frames) == 30


def test_shifted_numbers_are_told_with_the_shift(tmp_path):
    root, _, values = with_videos(tmp_path)
    for wrong, shift in ((7901, 1), (7897, -3)):
        with pytest.raises(UserError, match=rf"shifted by {shift}; set first_frames: \{{0016E5: 7900\}}"):
            listing(root, first_frames={"0016E5": wrong}, **values)
    with pytest.raises(UserError, match="nor one of the 3 on each side.*correct first_frames"):
        listing(root, first_frames={"0016E5": 7890}, **values)
    with pytest.raises(UserError, match="0016E5_07920 precedes frame 7930"):
        listing(root, first_frames={"0016E5": 7930}, **values)
    with pytest.raises(UserError, match="there is no sequence '16E5'; known: 0001TP, 0006R0, 0016E5, Seq05VD"):
        listing(root, first_frames={"16E5": 7900}, **values)


def test_a_video_that_loses_a_frame_on_the_way_is_found(tmp_path):
    root, path, values = with_videos(tmp_path)
    video(path, [n for n in range(7900, 8000) if n != 7940])
    with pytest.raises(UserError, match=r"0016E5_07959\.png is not frame 59 .*, but frame 58 .*shifted by -1"):
        listing(root, **values)


def test_a_shift_by_one_is_found_where_frames_hardly_differ(tmp_path):
    """The car stands: each frame is like its neighbours, but the still is still most like its own."""
    base = picture(0).astype(int)

    def frame(number):
        return np.clip(base + (number % 7) * 2, 0, 255).astype(np.uint8)

    root = original(tmp_path / "r", CLIP)
    for name in CLIP:
        write(root / "701_StillsRaw_full" / f"{name}.png", frame(parse(name).number))
    (tmp_path / "v").mkdir()
    writer = cv2.VideoWriter(str(tmp_path / "v" / "0016E5.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 30, SHAPE[::-1])
    for number in range(7950, 8000):
        writer.write(frame(number)[..., ::-1])
    writer.release()
    values = {"videos": str(tmp_path / "v"), "neighbours": 1}
    assert listing(root, tmp_path / "a", first_frames={"0016E5": 7950}, **values).frames
    with pytest.raises(UserError, match="shifted by 1; set first_frames: {0016E5: 7950}"):
        listing(root, tmp_path / "b", first_frames={"0016E5": 7951}, **values)


def test_another_video_and_a_short_one(tmp_path):
    root, path, values = with_videos(tmp_path)
    video(path, range(100, 200))
    with pytest.raises(UserError, match=r"none of its frames 0 to 7920 is .*0016E5_07920\.png"):
        listing(root, **values)
    video(path, range(7900, 7970))
    with pytest.raises(UserError, match="after 70 frames, but frame .* is wanted"):
        listing(root, **values)
    video(path, range(7900, 7979))
    with pytest.raises(UserError, match="after 79 frames, but frame 79 is wanted"):
        listing(root, **values)
    video(path, range(7900, 7980))
    found = listing(root, **values)
    assert max(frame.frame for frame in found.frames) == 7979
    assert any("it ends before 2 neighbours of the last still" in note for note in found.notes)


def test_an_interrupted_cut_goes_on_and_another_one_begins_anew(tmp_path, monkeypatch):
    root, path, values = with_videos(tmp_path)
    made = tmp_path / "made"
    saved, save = [], camvid_neighbours._save

    def save_four(job, target, *rest):
        if len(saved) == 4:
            raise KeyboardInterrupt
        saved.append(target.number)
        save(job, target, *rest)

    monkeypatch.setattr(camvid_neighbours, "_save", save_four)
    with pytest.raises(KeyboardInterrupt):
        listing(root, made, **values)
    monkeypatch.setattr(
        camvid_neighbours, "_save", lambda job, target, *rest: saved.append(target.number) or save(job, target, *rest)
    )
    found = listing(root, made, **values)
    assert len(saved) == len(set(saved)) == len([frame for frame in found.frames if not frame.label])
    again = listing(root, made, **values)
    assert again == found and len(saved) == len(set(saved))
    monkeypatch.setattr(camvid_neighbours, "frames_at", None)
    assert listing(root, made, **values) == found, "all is there: the video is not decoded again"
    monkeypatch.undo()
    listing(root, made, **{**values, "neighbours": 1})
    assert not (made / "cut" / "0016E5" / "0016E5_07918.png").exists()


def test_videos_are_cut_in_parallel_to_the_same_bytes(tmp_path):
    names = [*STILLS, "Seq05VD_f00000", "Seq05VD_f00030", "0006R0_f00930"]
    root = original(tmp_path / "r", names)
    video(tmp_path / "v" / "0016E5.avi", range(7900, 8000))
    video(tmp_path / "v" / "0005VD.mkv", range(0, 40))
    values = {"videos": str(tmp_path / "v"), "neighbours": 3}
    one = listing(root, tmp_path / "one", workers=1, **values)
    two = listing(root, tmp_path / "two", workers=2, **values)
    assert one == two
    assert any("0006R0: no video" in note for note in one.notes)

    def content(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(tmp_path / "one") == content(tmp_path / "two")
    # Before frame 0 there is nothing.
    clips = Counter(frame.clip for frame in one.frames)
    assert (clips["Seq05VD_f00000"], clips["Seq05VD_f00027"], clips["0006R0_f00930"]) == (4, 7, 1)


def test_videos_and_the_video_split(tmp_path):
    root = original(tmp_path / "r", STILLS + [f"0016E5_{n:05d}" for n in range(7981, 8060, 2)])
    video(tmp_path / "v" / "0016E5.avi", range(7900, 8070))
    values = {"videos": str(tmp_path / "v"), "neighbours": 2, "split": "video", "gap": 3, "clip_frames": 5}
    found = listing(root, tmp_path / "made", **values)
    numbers = {split: {f.frame for f in found.frames if f.split == split} for split in ("train", "dev", "test")}
    for one, other in (("train", "dev"), ("dev", "test")):
        assert max(numbers[one]) + 2 < min(numbers[other])
    for clip, count in Counter(f.clip for f in found.frames if f.split != "train").items():
        members = [f.frame for f in found.frames if f.clip == clip]
        assert 2 <= count <= 6 and members == list(range(members[0], members[0] + count)), clip
    assert len({f.image for f in found.frames}) == len(found.frames)


def test_which_video_belongs_to_which_sequence(tmp_path):
    names = ["0005VD.MXF", "01TP_extract.avi", "0006R0.mp4", "0016E5.MXF", "0016E5.txt", "10016E5.avi", "x6R0.avi"]
    empty_files(tmp_path / "v", names)
    found = camvid_neighbours.find_videos(tmp_path / "v", ["0001TP", "0006R0", "0016E5", "Seq05VD"])
    assert {one: path.name for one, path in found.items()} == {
        "0001TP": "01TP_extract.avi",
        "0006R0": "0006R0.mp4",
        "0016E5": "0016E5.MXF",
        "Seq05VD": "0005VD.MXF",
    }
    assert camvid_neighbours.find_videos(tmp_path / "v", ["0016E5", "0077XX"]).keys() == {"0016E5"}
    with pytest.raises(UserError, match="holds no video of 0077XX"):
        camvid_neighbours.find_videos(tmp_path / "v", ["0077XX"])
    (tmp_path / "v" / "Seq05VD.avi").touch()
    with pytest.raises(UserError, match=r"0005VD\.MXF and Seq05VD\.avi are both of Seq05VD"):
        camvid_neighbours.find_videos(tmp_path / "v", ["Seq05VD"])
    with pytest.raises(UserError, match="no such folder; correct videos"):
        camvid_neighbours.find_videos(tmp_path / "none", ["0016E5"])


def test_a_neighbour_of_two_splits_is_refused():
    train, dev = parse("0016E5_00010"), parse("0016E5_00016")
    stills = [
        camvid_neighbours.Still(**{**vars(train), "split": "train"}),
        camvid_neighbours.Still(**{**vars(dev), "split": "dev"}),
    ]
    assert set(camvid_neighbours.windows(stills, 2)) == {8, 9, 11, 12, 14, 15, 17, 18}
    with pytest.raises(
        UserError, match=r"frame 13 is a neighbour of 0016E5_00010 \(train\) and of 0016E5_00016 \(dev\)"
    ):
        camvid_neighbours.windows(stills, 3)
