"""Ids in videos: exact, or refused in one line."""

import pickle

import av
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.measure.id_video import IdVideo, id_frames, id_video

IDS = [np.random.default_rng(number).integers(0, 256, (34, 46), np.uint8) for number in range(5)]


def write(path, codec="ffv1", form="gray", ids=IDS, **options):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, 10, options)
        stream.height, stream.width, stream.pix_fmt = *ids[0].shape, form
        for number, one in enumerate(ids):
            frame = av.VideoFrame.from_ndarray(one, format="gray").reformat(format=form)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "ffv1"), ("a.avi", "ffv1"), ("a.mov", "png")])
def test_every_id_comes_back_in_any_order(tmp_path, name, codec):
    path = write(tmp_path / name, codec)
    np.testing.assert_array_equal(list(id_frames(path)), IDS)
    video = pickle.loads(pickle.dumps(IdVideo(path)))
    for number in (0, 3, 3, 1, 4):
        np.testing.assert_array_equal(video(number), IDS[number])
    folder = id_video(path)
    assert list(folder.clips) == ["a"] and list(folder.clips["a"]) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="has 5 frames, and frame 5 is asked for"):
        video(5)


@pytest.mark.parametrize(
    ("name", "codec", "form", "message"),
    [
        ("a.mp4", "libx264", "yuv420p", "a.mp4: h264 may change ids; write ids as FFV1"),
        ("a.mkv", "libx264", "gray", "a.mkv: h264 may change ids"),
        ("a.mkv", "ffv1", "yuv420p", "a.mkv: ffv1 with the pixels yuv420p, which may have changed ids, not gray"),
        ("a.mkv", "ffv1", "gray16le", "a.mkv: ffv1 with the pixels gray16le"),
        ("a.avi", "mjpeg", "yuvj420p", "a.avi: mjpeg may change ids"),
    ],
)
def test_videos_that_may_have_changed_ids_are_refused(tmp_path, name, codec, form, message):
    path = write(tmp_path / name, codec, form)
    with pytest.raises(UserError, match=message):
        id_video(path)


def test_a_cut_or_damaged_video_is_refused(tmp_path):
    whole = write(tmp_path / "a.mkv", level="3", slicecrc="1").read_bytes()
    path = tmp_path / "b.mkv"
    for share in (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 0.97):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match="b.mkv: .*(cut off|no frame)"):
            id_video(path)
    for place in range(len(whole) // 4, len(whole) // 2, len(whole) // 20):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="b.mkv: .*damaged"):
            id_video(path)
    # What a decoder said of one video is not taken for the next.
    np.testing.assert_array_equal(list(id_frames(tmp_path / "a.mkv")), IDS)


def test_what_is_no_video_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("not a video")
    with pytest.raises(UserError, match="a.txt: not a video, damaged or cut off"):
        id_video(path)
    path = tmp_path / "a.wav"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", 8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UserError, match="a.wav: not a video; give a folder"):
        id_video(path)
