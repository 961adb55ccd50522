import pickle

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.sources.camvid.decoding import ShortVideoError, frames_at
from tests.sources.camvid_world import picture, video


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "with % and space %03d.avi"])
def test_frames_are_exactly_those_of_their_numbers(tmp_path, name):
    path = video(tmp_path / name, range(40))
    found = dict(frames_at(path, [39, 3, 0, 3, 17, 18]))
    assert list(found) == [0, 3, 17, 18, 39]
    for number, frame in found.items():
        np.testing.assert_array_equal(frame, picture(number))
    assert frame.dtype == np.uint8 and frame.flags.c_contiguous


def test_frames_of_a_video_with_predicted_frames(tmp_path):
    """Seeking in such a file lands on key frames; each picture must be nearest to its own number."""
    path = video(tmp_path / "a.mp4", range(60), "mp4v", (96, 128))
    pictures = np.stack([picture(number, (96, 128)) for number in range(60)]).astype(float)
    for number, frame in frames_at(path, [5, 13, 14, 58]):
        assert np.abs(pictures - frame).mean((1, 2, 3)).argmin() == number


def test_nothing_is_read_beyond_the_last_number(tmp_path):
    path = video(tmp_path / "a.avi", range(10))
    assert list(frames_at(path, [])) == []
    data = path.read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) * 6 // 10])
    assert [number for number, _ in frames_at(tmp_path / "cut.avi", [0, 1])] == [0, 1]


def test_a_short_video_gives_what_it_has_and_says_how_long_it_is(tmp_path):
    path = video(tmp_path / "a.avi", range(7))
    frames, seen = frames_at(path, [2, 6, 7]), []
    with pytest.raises(ShortVideoError, match=r"a\.avi: ends.* after 7 frames, but frame 7 is wanted") as raised:
        seen.extend(number for number, _ in frames)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    frames = frames_at(path, [2, 6, 7])
    assert [next(frames)[0], next(frames)[0]] == [2, 6]


def test_files_that_are_no_video_and_wrong_numbers(tmp_path):
    with pytest.raises(UserError, match=r"none\.avi: no such video"):
        next(frames_at(tmp_path / "none.avi", [0]))
    (tmp_path / "text.avi").write_text("no video at all")
    with pytest.raises(UserError, match=r"text\.avi: not a video that can be read"):
        next(frames_at(tmp_path / "text.avi", [0]))
    path = video(tmp_path / "a.avi", range(2))
    with pytest.raises(UserError, match=r"frame -1 is asked for.*counted from 0"):
        next(frames_at(path, [1, -1]))
