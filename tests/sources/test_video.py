"""A user's own videos: rates, clips, damage, names, and the same bytes whatever the number of processes."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.sources.source import Gap
from etc.sources.video import mp4, sizes
from etc.sources.video import timeline as video_timeline
from etc.sources.video.params import VideoParams
from etc.sources.video.reading import Reader, scan
from etc.sources.video.video import Video, find, resized
from tests.real_data import SAMPLES

SHAPE = (48, 64)
ALL_TRAIN = {"train": ["*"]}


def picture(number):
    """A frame with its number, below 256, in its lower half: eight bits from left to right, white for one."""
    pixels = np.full((*SHAPE, 3), 20, np.uint8)
    pixels[:24, :32] = (250, 20, 20)  # blue, in the upper left corner
    for bit in range(8):
        pixels[24:, 8 * bit : 8 * bit + 8] = 235 if number >> bit & 1 else 20
    return pixels


def number_of(pixels):
    return sum(int(pixels[32:44, 8 * bit + 2 : 8 * bit + 6].mean() > 128) << bit for bit in range(8))


def film(path, frames=30, rate=30.0, codec="MJPG", size=SHAPE[::-1]):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size)
    if not writer.isOpened():
        pytest.skip(f"this OpenCV does not write {codec}")
    for number in range(frames):
        writer.write(cv2.resize(picture(number % 256), size, interpolation=cv2.INTER_NEAREST))
    writer.release()
    return path


def joined(path, codec, sizes, frames=8):
    """A video whose parts have these sizes, made of the packets of one video each."""
    parts = [film(path.with_stem(f"part{place}"), frames, 30, codec, size) for place, size in enumerate(sizes)]
    if path.suffix == ".ts":
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
    else:
        raw = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
        captures = [cv2.VideoCapture(str(part), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1]) for part in parts]
        kind = int(captures[0].get(cv2.CAP_PROP_FOURCC))
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, kind, 30, sizes[0], raw)
        for number in range(frames * len(parts)):
            capture = captures[number // frames]
            _, packet = capture.read()
            writer.set(cv2.VIDEOWRITER_PROP_PTS, number)
            writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
            writer.write(packet)
        writer.release()
    for part in parts:
        part.unlink()
    return path


def film_with_holes(path, steps):
    """A Matroska video at 30 frames a second whose next frame comes after so many steps."""
    capture = cv2.VideoCapture(
        str(film(path.with_suffix(".avi"), len(steps))), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1]
    )
    kind = int(capture.get(cv2.CAP_PROP_FOURCC))
    raw = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, kind, 30, SHAPE[::-1], raw)
    time = 0
    for step in steps:
        writer.set(cv2.VIDEOWRITER_PROP_PTS, time)
        writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, 1)
        writer.write(capture.read()[1])
        time += step
    writer.release()
    capture.release()
    path.with_suffix(".avi").unlink()
    return path


def listing(root, made, workers=1, **params):
    values = {"classes": "cityscapes", "split": ALL_TRAIN} | params
    return Video("own", VideoParams(**values)).list(root, made, workers)


def shown(found, made):
    """Clip to the numbers that the pictures themselves tell."""
    clips = {}
    for frame in found.frames:
        clips.setdefault(frame.clip, []).append(number_of(cv2.imread(str(made / frame.image))))
    return clips


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.avi", "MJPG"), ("v.avi", "FFV1"), ("v.mkv", "FFV1"), ("v.mp4", "mp4v"), ("v.mov", "mp4v"), ("v.webm", "VP80")],
)
def test_every_frame_of_every_container(tmp_path, name, codec):
    film(tmp_path / "in" / name, 20, codec=codec)
    found = listing(tmp_path / "in", tmp_path / "made", clip_frames=8)
    assert shown(found, tmp_path / "made") == {
        "v_0000": [*range(8)], "v_0001": [*range(8, 16)], "v_0002": [*range(16, 20)]
    }  # fmt: skip
    assert [frame.frame for frame in found.frames] == [*range(20)]
    assert found.frames[9].image == "clips/v/v_0001_000009.png"
    assert {(frame.split, frame.annotated, frame.label) for frame in found.frames} == {("train", False, "")}
    assert found.notes == ("no clip is in split dev and test",)
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [name]


@pytest.mark.parametrize(
    ("recorded", "rate", "expected"),
    [
        (30, 10, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]),
        (25, 10, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27]),  # 2.5 is as near to 2 as to 3
        (24, 9, [0, 3, 5, 8, 11, 13, 16, 19, 21, 24, 27, 29]),
        (30000 / 1001, 30, [*range(30)]),
        (30, 30, [*range(30)]),
    ],
)
def test_frames_nearest_to_the_regular_time_are_kept(tmp_path, recorded, rate, expected):
    film(tmp_path / "in/v.avi", 30, recorded)
    found = listing(tmp_path / "in", tmp_path / "made", rate=rate)
    assert shown(found, tmp_path / "made") == {"v_0000": expected}
    assert [frame.frame for frame in found.frames] == [*range(len(expected))]
    ideal = [number * recorded / rate for number in range(len(expected))]
    off = max(abs(one - two) for one, two in zip(expected, ideal, strict=True)) / recorded * 1000
    assert found.notes[0].startswith(f"{rate} frames a second are kept")
    if recorded != 30000 / 1001:
        assert f"at most {off:.0f} ms off" in found.notes[0]


def test_a_rate_above_the_videos_own_is_refused(tmp_path):
    film(tmp_path / "v.avi", 10, 25)
    with pytest.raises(UserError, match=r"v\.avi: rate 30 in params/frames\.yaml is above the 25\.00 frames a second"):
        listing(tmp_path, tmp_path / "made", rate=30)


def test_skip_and_limit(tmp_path):
    film(tmp_path / "v.avi", 40, 20)
    found = listing(tmp_path, tmp_path / "made", clip_frames=5, skip=0.25, limit=3)
    assert [frame.frame for frame in found.frames] == [*range(5), *range(10, 15), *range(20, 25)]
    halved = listing(tmp_path, tmp_path / "halved", clip_frames=5, skip=0.5, rate=10)
    assert shown(halved, tmp_path / "halved") == {"v_0000": [0, 2, 4, 6, 8], "v_0001": [20, 22, 24, 26, 28]}


def test_with_a_limit_the_rest_of_a_long_video_is_not_looked_at(tmp_path):
    film(tmp_path / "v.avi", 400, 30)
    params = VideoParams(classes="street", clip_frames=5, limit=2)
    full = scan(tmp_path / "v.avi")
    part = scan(tmp_path / "v.avi", lambda times: video_timeline.cut(times, None, 5, 0, params.limit).full)
    assert (len(full.times), len(part.times)) == (400, 256)
    assert len(listing(tmp_path, tmp_path / "made", clip_frames=5, limit=2).frames) == 10


def test_sizes(tmp_path):
    film(tmp_path / "v.avi", 3)
    found = listing(tmp_path, tmp_path / "made", height=32)
    assert cv2.imread(str(tmp_path / "made" / found.frames[0].image)).shape == (32, 40, 3)
    found = listing(tmp_path, tmp_path / "large", height=96)
    assert cv2.imread(str(tmp_path / "large" / found.frames[0].image)).shape == (96, 128, 3)
    assert any("1 of 1 videos are enlarged: v.avi" in one for one in found.notes)
    odd = np.zeros((45, 81, 3), np.uint8)
    assert resized(odd, None) is odd
    # 81 / 45 x 32 = 57.6
    assert resized(odd, 32).shape == (32, 56, 3)


def test_jpg_is_smaller_with_less_quality(tmp_path):
    film(tmp_path / "v.avi", 2)
    sizes = []
    for quality in (20, 95):
        made = tmp_path / str(quality)
        found = listing(tmp_path, made, format="jpg", quality=quality)
        assert found.frames[0].image == "clips/v/v_0000_000000.jpg"
        sizes.append((made / found.frames[0].image).stat().st_size)
    assert sizes[0] < sizes[1]


def test_a_hole_begins_a_new_clip(tmp_path):
    film_with_holes(tmp_path / "v.mkv", [1] * 9 + [6] + [1] * 10 + [6, 6])
    found = listing(tmp_path, tmp_path / "made")
    assert shown(found, tmp_path / "made") == {"v_0000": [*range(10)], "v_0001": [*range(10, 21)]}
    notes = " ".join(found.notes)
    assert "1 of 1 videos have a variable frame rate; rate would keep" in notes
    assert "have holes, where a new clip begins: v.mkv" in notes and "have frames with no neighbour" in notes
    assert found.gaps == (Gap("v_0001", 10, 9, 5),)
    at_rate = listing(tmp_path, tmp_path / "rate", rate=15)
    clips = {}
    for frame in at_rate.frames:
        clips.setdefault(frame.clip, []).append(frame.frame)
    # At half the rate number 5 is at step 10, as near to frame 9 as can be; 7 at step 14 is frame 10, at step 15.
    assert [*clips.values()] == [[*range(6)], [*range(7, 13)]]
    assert at_rate.gaps == (Gap("v_0001", 7, 5, 1),)
    in_test = listing(tmp_path, tmp_path / "test", split={"test": ["v_0000"]})
    assert in_test.gaps == ()


def test_rotation_is_honoured(tmp_path):
    path = film(tmp_path / "v.mp4", 4, codec="mp4v")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # behind version, times, id, length and reserved bytes
    assert struct.unpack(">9i", data[matrix : matrix + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, SHAPE[0] << 16, 0, 1 << 30)
    path.write_bytes(bytes(data))
    found = listing(tmp_path, tmp_path / "made")
    pixels = cv2.imread(str(tmp_path / "made" / found.frames[0].image))
    assert pixels.shape == (*SHAPE[::-1], 3)
    # A quarter turn to the right takes the blue corner from the upper left to the upper right.
    assert pixels[8, 40, 0] > 150 and pixels[8, 8, 0] < 60


def test_damaged_videos_are_named_in_one_line(tmp_path):
    whole = film(tmp_path / "whole.avi", 90).read_bytes()
    moov = film(tmp_path / "moov.mp4", 20, codec="mp4v").read_bytes()
    film(tmp_path / "none.avi", 0)
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) * 6 // 10])
    (tmp_path / "cut.mp4").write_bytes(moov[: len(moov) // 2])
    (tmp_path / "empty.mkv").touch()
    (tmp_path / "text.mp4").write_text("no video at all")
    for name, message in {
        "cut.avi": r"damaged or cut off: its last frame is [45]\d, at 1\.\d s, but its header says 3\.0 s",
        "cut.mp4": "not a video, damaged or truncated, or in a codec that OpenCV lacks",
        "empty.mkv": "not a video, damaged or truncated",
        "text.mp4": "not a video, damaged or truncated",
        "none.avi": "the video has no frame that can be decoded",
    }.items():
        with pytest.raises(
            UserError, match=rf"{name}: {message}.*; get it whole, or convert it .*, or leave it out"
        ) as raised:
            listing(tmp_path, tmp_path / "made", files=[name])
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "made").exists()
    found = listing(tmp_path, tmp_path / "made", files=["*.avi", "!cut*", "!none.avi"])
    assert {frame.clip[:-5] for frame in found.frames} == {"whole"}


def test_one_that_shrinks_between_the_passes_is_named(tmp_path):
    reader = Reader(film(tmp_path / "v.avi", 5))
    assert [number_of(reader.frame(index)) for index in (0, 3, 1, 4)] == [0, 3, 1, 4]
    with pytest.raises(UserError, match=r"v\.avi: frame 5 cannot be decoded"):
        reader.frame(9)


def test_one_frame_is_no_clip(tmp_path):
    film(tmp_path / "still.avi", 1)
    with pytest.raises(UserError, match="no video yields two consecutive frames"):
        listing(tmp_path, tmp_path / "made")
    film(tmp_path / "v.avi", 3)
    assert any("1 of 2 videos give no clip: still.avi" in one for one in listing(tmp_path, tmp_path / "made").notes)


def test_clip_names_of_any_file_names(tmp_path):
    names = ["a/walk.avi", "b/walk.avi", "my video - 1.AVI", "Straße.avi", "東京.avi", "-x.avi", "same.avi", "same.mkv"]
    for name in names:
        film(tmp_path / "in" / name, 2)
    found = listing(tmp_path / "in", tmp_path / "made")
    clips = [frame.clip for frame in found.frames if frame.frame == 0]
    assert len(set(clips)) == len(names)
    assert all(clip.isascii() and clip.replace("_", "").isalnum() and clip[0] != "_" for clip in clips)
    assert {"a_walk_0000", "b_walk_0000", "my_video_1_0000", "x_0000", "same_avi_0000", "same_mkv_0000"} <= set(clips)
    for frame in found.frames:
        assert (tmp_path / "made" / frame.image).is_file()


@pytest.mark.parametrize("videos", [1, 5])
def test_the_bytes_do_not_depend_on_the_processes(tmp_path, videos):
    for number in range(videos):
        film(tmp_path / f"in/v{number}.avi", 12)
    made = [tmp_path / str(workers) for workers in (1, 2)]
    params = {"clip_frames": 5, "height": 40, "rate": 20, "split": {"train": 0.6, "dev": 0.2, "test": 0.2}}
    first, second = (listing(tmp_path / "in", folder, int(folder.name), **params) for folder in made)
    assert first == second
    files = [
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")} for folder in made
    ]
    assert files[0] == files[1]
    assert set(files[0]) == {frame.image for frame in first.frames}


def test_clips_of_no_split_are_not_written(tmp_path):
    film(tmp_path / "in/walk.avi", 6)
    film(tmp_path / "in/city/ride.avi", 6)
    split = {"train": ["city/*"], "test": ["walk_0001"]}
    found = listing(tmp_path / "in", tmp_path / "made", clip_frames=3, split=split)
    assert {frame.clip: frame.split for frame in found.frames} == {
        "city_ride_0000": "train", "city_ride_0001": "train", "walk_0001": "test"
    }  # fmt: skip
    assert len([*(tmp_path / "made").rglob("*.png")]) == 9
    assert any("left out: walk_0000" in note for note in found.notes)


def test_where_videos_lie(tmp_path, monkeypatch):
    monkeypatch.delenv("ETC_ROOT_OWN", raising=False)
    one = film(tmp_path / "walk [1].avi", 3)
    film(tmp_path / "below/walk [1].avi", 3)
    source = Video("own", VideoParams(classes="street", root=str(one), split={"test": 1.0}))
    assert source.location.find() == tmp_path.resolve()
    assert [frame.clip for frame in source.list(tmp_path, tmp_path / "made", 1).frames] == ["walk_1_0000"] * 3
    lost = Video("own", VideoParams(classes="street", root=str(tmp_path / "lost.mp4")))
    with pytest.raises(UserError, match=r"lost\.mp4: no such video; correct root in params/frames\.yaml"):
        lost.list(lost.location.find(), tmp_path / "made", 1)
    nowhere = Video("own", VideoParams(classes="street"))
    assert nowhere.location.find() is None
    with pytest.raises(UserError, match=r"nothing to download; .*'root' in params/frames\.yaml or ETC_ROOT_OWN"):
        nowhere.fetch(True)
    monkeypatch.setenv("ETC_ROOT_OWN", str(tmp_path / "below"))
    assert nowhere.location.find() == (tmp_path / "below").resolve()
    with pytest.raises(UserError, match=r"no file fits \*\.mp4 or \*\.mov; correct root or files"):
        find(tmp_path, ["*.mp4", "*.mov"])


def test_times_of_containers_that_round_them_are_steady():
    rounded = np.round(np.arange(500) / 60, 3)
    assert video_timeline.is_steady(rounded)
    assert video_timeline.interval(rounded) == pytest.approx(1 / 60, rel=1e-3)
    assert len(video_timeline.keep(rounded, 60)[0]) == 1
    uneven = rounded.copy()
    uneven[250:] += 0.01
    assert not video_timeline.is_steady(uneven)


def test_nearest_takes_the_earlier_of_two():
    times = np.array([0.0, 1.0, 2.0])
    assert video_timeline.nearest(times, np.array([-1, 0.4, 0.5, 0.6, 1.5, 9])).tolist() == [0, 0, 0, 1, 1, 2]


def test_skip_holds_across_a_hole():
    times = np.r_[0:5, 7:20] / 10
    cut = video_timeline.cut(times, 10, 5, 0.4, None)
    assert [[kept.number for kept in clip] for clip in cut.clips] == [[0, 1, 2, 3, 4], [9, 10, 11, 12, 13], [18, 19]]
    assert (cut.holes, cut.left, cut.full) == (1, 0, False)
    assert video_timeline.cut(times, 10, 5, 0.4, 2).full
    # The hole lies among frames that are skipped anyway.
    assert cut.gaps == ()


def test_holes_between_clips_are_gaps():
    times = np.r_[0:5, 7:20] / 10
    gap = video_timeline.Gap(clip=1, after=4, missing=2)
    assert video_timeline.cut(times, None, 5, 0, None).gaps == (gap,)
    # Also where the frame before the hole is left over; not before the first clip, nor behind the last.
    assert video_timeline.cut(times, None, 4, 0, None).gaps == (gap,)
    assert video_timeline.cut(times[4:], None, 5, 0, None).gaps == ()
    assert video_timeline.cut(times, None, 5, 0, 1).gaps == ()
    # At a rate numbers tell how many.
    at_rate = video_timeline.cut(np.r_[0:10, 16:30] / 10, 5, 9, 0, None)
    last, first = at_rate.clips[0][-1].number, at_rate.clips[1][0].number
    assert at_rate.gaps == (video_timeline.Gap(1, last, first - last - 1),) and first - last > 2


def test_names_in_lists_may_hold_the_path(tmp_path):
    assert find(Path(film(tmp_path / "a/V.AVI", 2)).parents[1], ["a/*.avi"]) == ["a/V.AVI"]


CODECS = [("MJPG", ".mkv"), ("VP80", ".webm"), ("VP90", ".webm"), ("MPG2", ".ts"), ("XVID", ".avi")]


@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_a_video_whose_frames_change_their_size_is_refused(tmp_path, codec, suffix):
    """OpenCV would stretch the second part, and a pair would span the join."""
    path = joined(tmp_path / f"a{suffix}", codec, [(64, 48), (48, 48)])
    with pytest.raises(
        UserError, match=rf"a\{suffix}: its frames change from 64x48 to 48x48 pixels at frame 8; cut it"
    ):
        scan(path)


@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_parts_of_one_size_are_taken(tmp_path, codec, suffix):
    found = scan(joined(tmp_path / f"a{suffix}", codec, [(64, 48), (64, 48)]))
    assert found.shape == (48, 64) and len(found.times) == 16


@pytest.mark.parametrize(("codec", "suffix"), [("mp4v", ".mp4"), ("FFV1", ".mkv")])
def test_videos_whose_packets_do_not_say_the_size_are_taken(tmp_path, codec, suffix, capfd):
    assert len(scan(film(tmp_path / f"a{suffix}", 16, codec=codec)).times) == 16
    assert "WARN" not in capfd.readouterr().err


def test_odd_sizes_are_read_from_packets(tmp_path):
    for codec, suffix in (("VP80", ".webm"), ("VP90", ".webm"), ("MJPG", ".avi")):
        path = film(tmp_path / f"a{suffix}", 3, 30, codec, (322, 178))
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        assert {size for _, size in sizes._sizes(capture, 3)} == {(322, 178)}


def box(kind, *content):
    inside = b"".join(content)
    return struct.pack(">I", 8 + len(inside)) + kind + inside


def test_an_edit_list_says_how_long_a_video_is_shown(tmp_path):
    def file(version, edits=True, kind=b"vide"):
        wide = ">IQQIQ" if version else ">IIIII"
        mvhd = box(b"mvhd", struct.pack(wide, version << 24, 0, 0, 600, 9000))
        tkhd = box(b"tkhd", struct.pack(">IQQIIQ" if version else ">IIIIII", version << 24, 0, 0, 1, 0, 1500))
        track = box(b"trak", tkhd, box(b"edts", bytes(4)) if edits else b"", box(b"mdia", box(b"hdlr", bytes(8), kind)))
        path = tmp_path / "a.mp4"
        path.write_bytes(box(b"ftyp", b"isom") + box(b"mdat", bytes(100)) + box(b"moov", mvhd, track))
        return path

    assert mp4.shown_seconds(file(0)) == mp4.shown_seconds(file(1)) == 2.5
    assert mp4.shown_seconds(file(0, edits=False)) is None
    assert mp4.shown_seconds(file(0, kind=b"soun")) is None
    path = file(0)
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        assert mp4.shown_seconds(path) in (None, 2.5)
    assert mp4.shown_seconds(film(tmp_path / "b.avi")) is None


VIDEOS = SAMPLES / "cases" / "video"


@pytest.mark.skipif(not VIDEOS.is_dir(), reason="needs the field's files")
def test_videos_of_the_field(tmp_path):
    found = scan(VIDEOS / "trimmed.mp4")
    assert len(found.times) == 78 and found.times[-1] + 1 / found.rate == pytest.approx(2.6)
    with pytest.raises(UserError, match="from 64x48 to 48x48 pixels at frame 45"):
        scan(VIDEOS / "resolution_change.mp4")
