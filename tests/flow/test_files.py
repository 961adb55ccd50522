"""Flow made elsewhere: names, both formats, unknown vectors, and the messages when something is missing."""

import os

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.files import FlowFiles, find_flow
from etc.flow.io import UNKNOWN, read_flow, write_flo, write_kitti_png
from etc.flow.warp import inside_frame

SHAPE = (6, 9)


def uniform(value, shape=SHAPE):
    return np.full((*shape, 2), value, np.float32)


@pytest.mark.parametrize(
    "name",
    [
        "a_000001/000019_000020.flo",
        "a_000001/19_20.flo",
        "deep/er/a_000001/19_20.png",
        "a_000001_000019_000020.flo",
        "val/a/a_000001_000019_000020_flow.png",
        "a_000001/a_000001_19_20.flo",
    ],
)
def test_both_layouts_are_found(tmp_path, name):
    path = tmp_path / name
    (write_flo if path.suffix == ".flo" else write_kitti_png)(path, uniform(1.5))
    # Flow of other clips and files of other kinds beside it.
    write_flo(tmp_path / "b_000001" / "19_20.flo", uniform(9))
    write_flo(tmp_path / "aa_000001_19_20.flo", uniform(9))
    (path.parent / "a_000001_notes.txt").touch()
    clip = find_flow(tmp_path, "a_000001", SHAPE)
    assert clip.files == {(19, 20): path}
    flow, known = clip.read(19, 20)
    np.testing.assert_array_equal(flow, uniform(1.5))
    assert known.all()


def test_unknown_vectors_leave_the_frame(tmp_path):
    known = np.random.default_rng(0).random(SHAPE) < 0.5
    flow = uniform(1)
    write_kitti_png(tmp_path / "c" / "0_1.png", flow, known)
    flow[~known] = 1.6e9
    write_flo(tmp_path / "c" / "1_0.flo", flow)
    clip = find_flow(tmp_path, "c")
    for pair in ((0, 1), (1, 0)):
        read, read_known = clip.read(*pair)
        np.testing.assert_array_equal(read_known, known)
        assert (read[~known] == UNKNOWN).all() and (read[known] == 1).all()
        assert not inside_frame(read)[~known].any()


def test_a_missing_pair_is_named(tmp_path):
    write_flo(tmp_path / "c" / "0_1.flo", uniform(1))
    clip = find_flow(tmp_path, "c")
    for action in (lambda: clip.read(1, 0), lambda: clip.checksums([(0, 1), (1, 0)])):
        with pytest.raises(UserError, match=r"no flow from frame 1 to 0 of clip 'c'; add c/<source>_<target>\.flo"):
            action()
    with pytest.raises(UserError, match="nowhere: no such folder"):
        find_flow(tmp_path / "nowhere", "c")


def test_two_files_of_one_pair_are_named(tmp_path):
    write_flo(tmp_path / "c" / "0_1.flo", uniform(1))
    write_flo(tmp_path / "c" / "000000_000001.flo", uniform(2))
    with pytest.raises(UserError, match=r"000000_000001\.flo and .*0_1\.flo are both flow of clip 'c', pair \(0, 1\)"):
        find_flow(tmp_path, "c")


def test_flow_of_another_size_is_named(tmp_path):
    write_flo(tmp_path / "c" / "0_1.flo", uniform(1, (6, 8)))
    with pytest.raises(UserError, match=r"0_1\.flo: 8x6 pixels, the frames of clip 'c' have 9x6"):
        find_flow(tmp_path, "c", SHAPE).read(0, 1)


def test_a_vector_longer_than_the_frame_is_named(tmp_path):
    """The diagonal of 6x9 pixels is 10.8."""
    for length, refused in ((10.75, False), (10.9, True), (1e8, True), (1e9, True)):
        flow = uniform(1)
        flow[2, 3] = -length
        write_flo(tmp_path / "c" / "0_1.flo", flow)
        clip = find_flow(tmp_path, "c", SHAPE)
        if refused:
            with pytest.raises(UserError, match=r"0_1\.flo: 1 vector is longer than the diagonal of the 9x6 frame"):
                clip.read(0, 1)
        else:
            np.testing.assert_array_equal(clip.read(0, 1)[0], flow)


def test_checksums_follow_the_content_alone(tmp_path):
    for place in ("one", "two"):
        write_flo(tmp_path / place / "c" / "0_1.flo", uniform(1))
    before, elsewhere = (find_flow(tmp_path / place, "c").checksums([(0, 1)]) for place in ("one", "two"))
    assert before == elsewhere
    write_flo(tmp_path / "one" / "c" / "0_1.flo", uniform(2))
    assert find_flow(tmp_path / "one", "c").checksums([(0, 1)]) != before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "0.flo: truncated"),
        (lambda path: path.write_bytes(b"nothing"), "0.flo: not a .flo file"),
        (lambda path: path.unlink(), "0.flo: no such flow file"),
        (lambda path: write_flo(path, uniform(1e9)), "0.flo: 54 vectors are longer than the diagonal of the 9x6 frame"),
        (lambda path: write_flo(path, uniform(-25)), "0.flo: 54 vectors are longer"),
        (lambda path: write_not_a_number(path), "0.flo: the flow at row 0, column 3"),
    ],
)
def test_damaged_and_impossible_files_are_named(tmp_path, damage, message):
    path = tmp_path / "0.flo"
    write_flo(path, uniform(1))
    damage(path)
    with pytest.raises(UserError, match=message):
        FlowFiles({(0, 1): path}, tmp_path, "c").read(0, 1)


def write_not_a_number(path):
    content = np.frombuffer(path.read_bytes(), "<f4").copy()
    content[10] = np.nan
    path.write_bytes(content.tobytes())


def test_both_formats_stand_side_by_side_and_are_named_in_messages(tmp_path):
    write_flo(tmp_path / "0.flo", uniform(1.5))
    write_kitti_png(tmp_path / "1.PNG", uniform(-2))
    clip = FlowFiles({(0, 1): tmp_path / "0.flo", (1, 2): tmp_path / "1.PNG"}, tmp_path, "c")
    for pair, value, name in (((0, 1), 1.5, "0.flo"), ((1, 2), -2, "1.PNG")):
        flow, known = clip.read(*pair)
        np.testing.assert_array_equal(flow, uniform(value))
        assert known.all() and clip.describe(*pair) == str(tmp_path / name)
    assert clip.describe(7, 8) == str(tmp_path)
    with pytest.raises(UserError, match="no flow from frame 7 to 8 of clip 'c'"):
        clip.read(7, 8)


def test_names_of_kitti_lead_to_the_next_frame(tmp_path):
    """Read as pairs they would lead from the scene to the frame."""
    for scene in (0, 1):
        write_kitti_png(tmp_path / f"{scene:06}_10.png", uniform(scene + 1))
    clip = find_flow(tmp_path, "000001")
    assert list(clip.files) == [(10, 11)] and (clip.read(10, 11)[0] == 2).all()
    write_flo(tmp_path / "c" / "000000_000010.flo", uniform(7))
    write_flo(tmp_path / "c" / "000_10.flo", uniform(7))
    with pytest.raises(UserError, match=r"000_10\.flo are both flow of clip 'c', pair \(0, 10\)"):
        find_flow(tmp_path, "c")


def test_what_is_no_regular_file_is_named(tmp_path):
    for name, make, words in (
        ("0_1.flo", os.mkfifo, "not a regular file"),
        ("1_2.flo", lambda path: path.mkdir(), "not a regular file"),
        ("2_3.flo", lambda path: path.symlink_to(path), "its symbolic links lead in a circle"),
    ):
        path = tmp_path / "c" / name
        path.parent.mkdir(exist_ok=True)
        make(path)
        with pytest.raises(UserError, match=f"{name}: {words}"):
            read_flow(path)
