"""Nothing of anyone else is replaced, and outputs appear together."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from etc.core import outputs
from etc.core.errors import UserError
from etc.core.files import atomic, os_errors_in_one_line
from etc.core.outputs import MARKER, check_files, check_folder, together

OURS = "ours"


def made(path):
    return path.read_text() == OURS


def write(path, text=OURS):
    with atomic(path, "w") as stream:
        stream.write(text)


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refusal(action, *arguments):
    """The one line of a refused check."""
    with pytest.raises(UserError) as caught, os_errors_in_one_line():
        action(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def world(tmp_path):
    """Inputs, and things that stand where an output is to go."""
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").write_text("a frame")
    (tmp_path / "list.txt").write_text("clips")
    (tmp_path / "folder").mkdir()
    (tmp_path / "theirs.json").write_text("{}")
    (tmp_path / "ours.json").write_text(OURS)
    (tmp_path / "empty.json").touch()
    os.mkfifo(tmp_path / "fifo")
    links = {"to_frame": "frames/0.png", "to_frames": "frames", "to_list": "list.txt", "to_fifo": "fifo"}
    links |= {"to_null": "/dev/null", "to_ours": "ours.json", "to_theirs": "theirs.json", "nowhere": "gone"}
    for name, target in (links | {"loop": "loop"}).items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("frames/new.json", "inside the input"),
        ("frames/0.png", "inside the input"),
        ("to_frame", "inside the input"),
        ("to_frames/new.json", "inside the input"),
        ("folder/../frames/new.json", "inside the input"),
        ("frames", "the same as the input"),
        ("list.txt", "the same as the input"),
        ("to_list", "the same as the input"),
        ("fifo", "a device, FIFO or socket"),
        ("to_fifo", "a device, FIFO or socket"),
        ("/dev/null", "a device, FIFO or socket"),
        ("to_null", "a device, FIFO or socket"),
        ("/dev/stdout/x", "a file stands in the way"),
        ("folder", "this is a folder"),
        ("theirs.json", "exists and was not made by this command"),
        ("to_theirs", "exists and was not made by this command"),
        ("theirs.json/new.json", "a file stands in the way"),
        ("a" * 250, "the name is too long"),
    ],
)
def test_a_file_that_is_not_ours_to_write_is_refused(world, name, message):
    before = listing(world)
    assert message in refusal(check_files, {world / name: made}, [world / "frames", world / "list.txt"])
    assert listing(world) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which no file can be made")
def test_a_place_in_a_folder_of_the_system_is_named():
    for path in map(Path, ("/proc/new", "/proc/new/new")):
        for check in (check_files, {path: made}), (check_folder, path, ["a.png"]):
            assert refusal(*check).startswith(f"{path}: the file system is read-only")


@pytest.mark.parametrize(
    "name", ["ours.json", "to_ours", "empty.json", "new.json", "folder/a/b.json", "nowhere", "loop"]
)
def test_a_free_place_and_a_file_of_ours_are_accepted(world, name):
    before = listing(world)
    check_files({world / name: made}, [world / "frames", world / "list.txt"])
    assert listing(world) == before
    write(world / name, "new")
    assert (world / name).read_text() == "new" and not (world / name).is_symlink()


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a"), ("a", "folder/../a"), ("a", "a/b"), ("a/b", "a"), ("to_ours", "ours.json")]
)
def test_one_path_for_two_outputs_is_refused(world, first, second):
    assert "another output" in refusal(check_files, [(world / first, made), (world / second, made)])


def test_what_a_reader_of_foreign_content_raises_means_not_ours(world):
    (world / "ours.json").write_bytes(b"\xff")
    assert "not made by this command" in refusal(check_files, {world / "ours.json": made})


def test_a_device_is_never_replaced_whoever_writes(world):
    for name in ("fifo", "to_fifo", "/dev/null"):
        with pytest.raises(UserError, match="a device, FIFO or socket"):
            write(world / name)
    assert (world / "fifo").is_fifo() and (world / "to_fifo").is_symlink()


@pytest.mark.parametrize(
    ("folder", "names", "message"),
    [
        ("frames", ["a/0.png"], "frames: the same as the input"),
        ("frames/out", ["a/0.png"], "out: inside the input"),
        ("to_frames", ["a/0.png"], "to_frames: the same as the input"),
        ("", ["frames/1.png"], r"frames/1.png: inside the input"),
        ("folder", ["to_frames/1.png"], ""),
        ("", ["theirs.json"], "theirs.json: exists and was not made by this command, or has changed since"),
        ("", ["fifo"], "fifo: a device"),
        ("", ["folder"], "folder: this is a folder"),
        ("ours.json", ["a.png"], "ours.json: a file stands in the way"),
        ("ours.json/out", ["a.png"], "out: a file stands in the way"),
        ("out", ["a.png", "a.png"], "two outputs would have this name"),
        ("ov.mp4", ["a.png"], "ov.mp4: a folder is written here, not a .mp4 file"),
        ("OV.PNG", ["a.png"], "a folder is written here"),
    ],
)
def test_a_folder_that_is_not_ours_to_fill_is_refused(world, folder, names, message):
    before = listing(world)
    if message:
        assert message in refusal(check_folder, world / folder, names, [world / "frames"])
    else:
        check_folder(world / folder, names, [world / "frames"])
    assert listing(world) == before


def fill(folder, texts):
    check_folder(folder, texts)
    with together(folder):
        for name, text in texts.items():
            write(folder / name, text)


def test_a_folder_may_be_filled_again_until_someone_else_changes_it(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("of the user")
    fill(out, {"a/0": "one", "b/0": "two"})
    fill(out, {"a/0": "three", "c/0": "four"})
    assert listing(out) == [MARKER, "a", "a/0", "b", "b/0", "c", "c/0", "notes.txt"]
    assert (out / "a/0").read_text() == "three" and (out / MARKER).stat().st_mode & 0o444 == 0o444
    # What was made before stays ours, as long as it is as it was made.
    fill(out, {"b/0": "five"})
    (out / "b/0").write_text("edited")
    assert "b/0: exists and was not made by this command, or has changed since" in refusal(fill, out, {"b/0": "six"})
    (out / "b/0").unlink()
    fill(out, {"b/0": "six"})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a/0": 1}'])
def test_a_damaged_marker_lists_nothing(tmp_path, content):
    fill(tmp_path, {"a/0": "one"})
    (tmp_path / MARKER).write_text(content)
    assert "a/0: exists" in refusal(fill, tmp_path, {"a/0": "two"})


def test_files_appear_when_the_block_ends(tmp_path):
    with together():
        write(tmp_path / "new" / "a")
        write(tmp_path / "b")
        assert not (tmp_path / "new/a").exists() and not (tmp_path / "b").exists()
    assert listing(tmp_path) == ["b", "new", "new/a"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt()])
def test_an_error_leaves_everything_as_it_was(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises((UserError, ValueError, KeyboardInterrupt)), together(tmp_path):
        write(tmp_path / "a", "new")
        write(tmp_path / "one/two/b", "new")
        with atomic(tmp_path / "one/c", "w"):
            raise error
    assert listing(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"
    write(tmp_path / "a", "later")
    assert (tmp_path / "a").read_text() == "later", "the block is over"


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("fails", range(3))
def test_an_error_in_the_last_step_puts_everything_back(tmp_path, monkeypatch, fails, links):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").symlink_to("a")
    calls, replace = [], os.replace

    def refuse(source, target):
        calls.append(target)
        if len(calls) == fails + 1:
            raise OSError(errno.EACCES, "no", str(source))
        replace(source, target)

    def no_links(*_, **__):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(outputs.os, "replace", refuse)
    if not links:
        monkeypatch.setattr(outputs.os, "link", no_links)
    names = ["a", "b", "new/c"]
    with pytest.raises(UserError, match=f"{names[fails]}: no permission"), os_errors_in_one_line(), together():
        for name in names:
            write(tmp_path / name, "new")
    assert listing(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_text() == "old" and (tmp_path / "b").is_symlink()


def test_a_file_that_the_system_cuts_off_leaves_none(tmp_path):
    """A limit on the size of files stands for a full disk: the second file does not fit."""
    code = (
        "from etc.core.files import atomic, os_errors_in_one_line; from etc.core.outputs import together\n"
        "from etc.core.errors import UserError\n"
        "try:\n"
        "    with os_errors_in_one_line(), together():\n"
        "        for name, size in (('a', 100), ('b', 9000)):\n"
        "            with atomic(name) as stream: stream.write(bytes(size))\n"
        "except UserError as error: print(error)\n"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("b: the file is larger than") and shown.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())
