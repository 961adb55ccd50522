"""Unpacking good, damaged and hostile archives."""

import multiprocessing
import os
import shutil
import signal
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from etc import fetch, unzip
from etc.core.errors import UserError

NOISE = bytes((i * i >> 7) % 251 for i in range(100_000))
FILES = {"top.txt": b"1", "set/a.png": NOISE, "set/deep/b.png": b"", "other/c.png": b"2"}


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "in" / "archive.zip"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out" / "folder"


def pack(archive, entries, method=zipfile.ZIP_DEFLATED):
    archive.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(archive, "w", method) as content:
        for name, data in entries:
            content.writestr(name, data)


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(match, archive, folder, *arguments):
    """One line that names the archive, and nothing is written anywhere."""
    with pytest.raises(UserError, match=match) as caught:
        unzip.unzip(archive, folder, *arguments)
    assert "\n" not in str(caught.value)
    above = archive.parent.parent
    assert set(held(above)) <= {"in/archive.zip", "out/.folder.lock"}, held(above).keys()
    assert not folder.exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("include", "names"),
    [
        ("*", list(FILES)),
        ("*.png", ["set/a.png", "set/deep/b.png", "other/c.png"]),
        ("set/*", ["set/a.png", "set/deep/b.png"]),
    ],
)
def test_the_chosen_files_are_unpacked(archive, folder, method, include, names):
    pack(archive, [("set/", b""), *FILES.items(), ("empty/", b"")], method)
    assert unzip.unzip(archive, folder, include) == folder
    assert held(folder) == {name: FILES[name] for name in names}
    assert not (folder / "empty").exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == [".folder.lock", "folder"]
    # A folder that is there stays, and the archive is not needed any more.
    archive.unlink()
    (folder / "added").touch()
    assert unzip.unzip(archive, folder, include) == folder and (folder / "added").exists()


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "a/..", "/tmp/evil", "//host/evil", "C:/evil", "..\\evil", "a\n/../../evil", "a//b"]
    + ["./a", "n" * 300, "a/" + "é" * 200],
)
def test_a_name_that_leads_elsewhere_is_refused(archive, folder, name):
    pack(archive, [("good", b"1"), (name, b"2")])
    refused("entry .* leads out of the folder, or is no plain path", archive, folder)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_anything_but_a_file_is_refused(archive, folder, kind):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    # A link to the folder above, and a file that would be written through it.
    pack(archive, [(entry, b".."), ("link/evil", b"2")])
    refused("entry 'link' is a link or another special file", archive, folder)


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a"]])
def test_entries_in_each_others_way_are_refused(archive, folder, names):
    pack(archive, [(name, b"1") for name in names])
    refused("archive.zip: two entries clash", archive, folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_method_is_refused(archive, folder, method):
    pack(archive, [("bomb", bytes(1000))], method)
    refused("another method than deflate", archive, folder)


def patched(archive, local, central, layout, value):
    """Write a value into the first local header and the first entry of the directory."""
    data = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        struct.pack_into(layout, data, data.index(magic) + offset, value)
    archive.write_bytes(data)


def test_an_encrypted_entry_is_refused(archive, folder):
    pack(archive, [("secret", b"1")])
    patched(archive, 6, 8, "<H", 1)
    refused("entry 'secret' is encrypted", archive, folder)


@pytest.mark.parametrize(
    ("said", "message"), [(10, "Bad CRC-32"), (0, "Bad CRC-32"), (2_000_000, "shorter than the directory says")]
)
def test_a_size_that_the_directory_hides_is_never_written(archive, folder, said, message, monkeypatch):
    largest = []
    copy = unzip.shutil.copyfileobj

    def watched(source, sink, length):
        try:
            copy(source, sink, length)
        finally:
            largest.append(sink.tell())

    monkeypatch.setattr(unzip.shutil, "copyfileobj", watched)
    pack(archive, [("bomb", bytes(1_000_000))])
    assert archive.stat().st_size < 2000
    patched(archive, 22, 24, "<I", said)
    refused(f"not a whole .zip \\(.*{message}", archive, folder)
    assert max(largest) <= said


@pytest.mark.parametrize("entries", [[("bomb", bytes(3_000_000))], [(str(n), b"") for n in range(750)]])
def test_a_bomb_is_refused_before_anything_is_written(archive, folder, monkeypatch, entries):
    """Many empty files take space as well: a block each."""
    pack(archive, entries)
    assert archive.stat().st_size < 100_000
    usage = type("Usage", (), {"free": 2_999_999 + fetch.SPARE})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(unzip.shutil, "copyfileobj", None)
    refused(r"needs 3(\.1)? MB plus 100 MB in reserve", archive, folder)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_cut_archive_is_refused(archive, folder, kept):
    pack(archive, FILES.items())
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * kept)])
    refused("not a whole .zip", archive, folder)


def test_damaged_content_is_refused(archive, folder):
    pack(archive, FILES.items())
    data = bytearray(archive.read_bytes())
    data[data.index(b"set/a.png") + 40] ^= 255
    archive.write_bytes(data)
    refused("not a whole .zip", archive, folder)


def test_a_flipped_byte_anywhere_is_one_line_or_harmless(archive, folder):
    pack(archive, [("a/b", b"content" * 9), ("c", b"")])
    good = archive.read_bytes()
    for position in range(len(good)):
        archive.write_bytes(good[:position] + bytes([good[position] ^ 255]) + good[position + 1 :])
        try:
            unzip.unzip(archive, folder)
            shutil.rmtree(folder)
        except UserError as error:
            assert "\n" not in str(error) and ".zip" in str(error)
        assert set(held(archive.parent.parent)) == {"in/archive.zip", "out/.folder.lock"}


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html><p>Please log in", b"PK nonsense", NOISE])
def test_another_file_is_no_archive(archive, folder, data):
    archive.parent.mkdir()
    archive.write_bytes(data)
    refused("not a whole .zip", archive, folder)


def test_an_archive_without_the_wanted_files_is_refused(archive, folder):
    pack(archive, FILES.items())
    refused(r"holds no files \*\.jpg", archive, folder, "*.jpg")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_named(archive, folder, monkeypatch):
    def full(source, sink, length):
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"1")

    pack(archive, FILES.items())
    monkeypatch.setattr(unzip.shutil, "copyfileobj", full)
    refused("folder: the disk is full", archive, folder)


def _counted(archive, folder, queue, killed):
    made, real = [], unzip._extract

    def extract(*arguments):
        made.append(1)
        real(*arguments)
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)

    unzip._extract = extract
    unzip.unzip(archive, folder)
    queue.put(len(made))


def test_two_processes_unpack_once_and_a_killed_one_leaves_nothing_half_made(archive, folder):
    pack(archive, [(str(number), NOISE[:1000]) for number in range(500)])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    killed = context.Process(target=_counted, args=(archive, folder, queue, True))
    killed.start()
    killed.join(20)
    assert killed.exitcode == -signal.SIGKILL and not folder.exists()
    children = [context.Process(target=_counted, args=(archive, folder, queue, False)) for _ in range(2)]
    for child in children:
        child.start()
    assert sorted(queue.get(timeout=20) for _ in children) == [0, 1]
    for child in children:
        child.join()
    assert len(held(folder)) == 500
    assert sorted(path.name for path in folder.parent.iterdir()) == [".folder.lock", "folder"]
