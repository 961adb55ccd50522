"""Kept pictures: the same pixels, read from the source once, and never half a file."""

import threading
from functools import partial

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.training.decoded import Kept

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


def test_the_source_is_read_once_and_the_pixels_stay(tmp_path):
    read = []
    kept = Kept(tmp_path, "ab12", lambda: read.append(1) or PICTURE)
    window = slice(10, 40), slice(20, 70)
    for _ in range(3):
        np.testing.assert_array_equal(kept()[window], PICTURE[window])
    assert len(read) == 1
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.npy")] == ["ab/ab12.npy"]


def test_another_key_is_another_picture(tmp_path):
    Kept(tmp_path, "ab12", lambda: PICTURE)()
    np.testing.assert_array_equal(Kept(tmp_path, "ab13", lambda: PICTURE[:9])(), PICTURE[:9])


def test_several_that_keep_it_at_once_agree(tmp_path):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(Kept(tmp_path, "ab12", partial(np.copy, PICTURE))()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all((one == PICTURE).all() for one in found)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("size", [0, 5, 200, 1000])
def test_a_truncated_file_is_named(tmp_path, size):
    kept = Kept(tmp_path, "ab12", lambda: PICTURE)
    kept()
    path = tmp_path / "ab" / "ab12.npy"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"ab12\.npy: damaged \(.*delete it"):
        kept()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file stands in the way"):
        Kept(tmp_path / "file", "ab12", lambda: PICTURE)()


def test_a_source_that_cannot_be_read_leaves_nothing(tmp_path):
    def broken():
        raise UserError("frame.png: damaged")

    with pytest.raises(UserError, match="frame.png"):
        Kept(tmp_path, "ab12", broken)()
    assert not list(tmp_path.rglob("*"))
