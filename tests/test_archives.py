"""Unpacking archives, good, broken and hostile."""

import hashlib
import io
import multiprocessing
import os
import signal
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from etc import archives
from etc.archives import MARKER, unpack, unpacked
from etc.core.errors import UserError
from etc.core.files import sha256
from etc.downloading import meter
from etc.unpacking import entries
from etc.unpacking.admission import Limits

NOISE = hashlib.shake_256(b"noise").digest(300_000)
FILES = {"set/a.txt": b"a" * 1000, "set/deep/er/b.bin": NOISE, "set/empty": b"", "READ ME": b"text"}


def make_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    """``files``: pairs of a name or ``ZipInfo`` and its content."""
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in files:
            packed.writestr(name, content)
    return path


def make_tar(path, files, mode="w:gz"):
    """``files``: pairs of a name or ``TarInfo`` and its content."""
    with tarfile.open(path, mode) as packed:
        for name, content in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


KINDS = {
    "zip": make_zip,
    "stored": lambda path, files: make_zip(path, files, zipfile.ZIP_STORED),
    "tar": lambda path, files: make_tar(path, files, "w:"),
    "gz": lambda path, files: make_tar(path, files, "w:gz"),
    "bz2": lambda path, files: make_tar(path, files, "w:bz2"),
    "xz": lambda path, files: make_tar(path, files, "w:xz"),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "archive"


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def refused(match, archive, folder, **options):
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError, match=match) as caught:
        unpack(archive, folder, **options)
    message = str(caught.value)
    assert message.startswith(f"{archive}: ") and "\n" not in message
    assert sorted(archive.parent.rglob("*")) == before, "something was left behind"
    return message


# Good archives


@every_kind
def test_every_kind_is_unpacked(archive, folder, make):
    make(archive, FILES.items())
    names = unpack(archive, folder)
    assert names == sorted(folder / name for name in FILES)
    assert content(folder) == FILES
    assert sorted(archive.parent.iterdir()) == [archive, folder]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((folder / "set/a.txt").stat().st_mode) == 0o666 & ~mask


@every_kind
def test_a_part_without_its_leading_folder(archive, folder, make):
    make(archive, [("./set/val/x", b"1"), ("set/val/deep/y", b"2"), ("set/train/z", b"3"), ("license", b"4")])
    assert unpack(archive, folder, strip=2, include=["set/val/*"]) == [folder / "deep/y", folder / "x"]
    assert content(folder) == {"x": b"1", "deep/y": b"2"}


def test_several_patterns_and_one_alone(archive, folder):
    make_zip(archive, [("a/1.png", b"1"), ("a/2.txt", b"2"), ("b/3.png", b"3")])
    unpack(archive, folder, include=("a/*.txt", "b/*"))
    assert content(folder) == {"a/2.txt": b"2", "b/3.png": b"3"}
    unpack(archive, folder.with_name("other"), include="*.png")
    assert content(folder.with_name("other")) == {"a/1.png": b"1", "b/3.png": b"3"}


def test_many_files_of_a_packed_tar_are_read_in_one_pass(archive, folder, monkeypatch):
    # Sizes that end exactly at a block are where a reader may be tempted to go back.
    files = {f"{number}": NOISE[: 512 * number] for number in range(100)}
    make_tar(archive, files.items())
    backwards = []
    seek = entries._Forward.seek
    monkeypatch.setattr(
        entries._Forward, "seek", lambda self, to, *rest: backwards.append(to < self.tell()) or seek(self, to, *rest)
    )
    unpack(archive, folder)
    assert content(folder) == files and not any(backwards)


def test_folders_may_be_listed_twice(archive, folder):
    with pytest.warns(UserWarning):
        make_zip(archive, [("a/", b""), ("a/", b""), ("a/x", b"1")])
    unpack(archive, folder)
    assert content(folder) == {"a/x": b"1"}


def test_progress_is_counted_in_bytes_of_the_archive(archive, folder, monkeypatch, capsys):
    monkeypatch.setattr(meter, "LOG_SECONDS", 0.0)
    make_tar(archive, FILES.items())
    unpack(archive, folder)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3 and all(line.startswith("unpacking archive:") and "B/s" in line for line in lines)
    assert "300k/300k" in lines[-1]


# Done already


@every_kind
def test_a_complete_folder_stays(archive, folder, make):
    make(archive, FILES.items())
    names = unpack(archive, folder)
    before = (folder / "set/a.txt").stat().st_ino
    (folder / "added").write_bytes(b"by the user")
    digest = sha256(archive)
    assert unpack(archive, folder) == names
    archive.unlink()
    for checksum in (digest, digest[:8].upper()):
        assert unpack(archive, folder, checksum=checksum) == names
        assert unpacked(folder, checksum) == names
    assert (folder / "set/a.txt").stat().st_ino == before


def test_what_was_not_unpacked_is_not_there(tmp_path, folder):
    assert unpacked(folder, "0" * 64) is None
    folder.mkdir()
    assert unpacked(folder, "0" * 64) is None


@pytest.mark.parametrize("options", [{}, {"strip": 1, "include": ["set/*"]}, {"include": ["set/*"]}])
def test_another_content_is_not_taken_for_it(archive, folder, options):
    make_zip(archive, FILES.items())
    if options:
        unpack(archive, folder)
    else:
        folder.mkdir()
        (folder / "mine").write_bytes(b"mine")
    before = content(folder)
    with pytest.raises(UserError, match="out: is there already"):
        unpack(archive, folder, **options)
    assert content(folder) == before
    with pytest.raises(UserError, match="out: is there already"):
        unpacked(folder, "0" * 64)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_folder_that_lost_a_file_is_named(archive, folder, damage):
    make_zip(archive, FILES.items())
    unpack(archive, folder)
    damage(folder / "set/a.txt")
    with pytest.raises(UserError, match=r"set/a.txt: is gone or changed.*delete"):
        unpack(archive, folder)


def test_an_empty_folder_and_a_link_to_one_are_filled(archive, folder):
    make_zip(archive, FILES.items())
    folder.mkdir()
    unpack(archive, folder)
    assert content(folder) == FILES
    (archive.parent / "disk" / "real").mkdir(parents=True)
    link = archive.parent / "link"
    link.symlink_to(archive.parent / "disk" / "real")
    assert unpack(archive, link)[0] == link / "READ ME"
    assert link.is_symlink() and content(archive.parent / "disk" / "real") == FILES


def _killed_at_the_second_block(archive, folder):
    calls = []

    def write(*arguments):
        if calls:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(real(*arguments))

    real, archives._write = archives._write, write
    unpack(archive, folder)


def test_a_killed_run_leaves_nothing_half_made(archive, folder):
    make_zip(archive, FILES.items())
    child = multiprocessing.get_context("fork").Process(target=_killed_at_the_second_block, args=(archive, folder))
    child.start()
    child.join(10)
    assert child.exitcode == -signal.SIGKILL
    assert not folder.exists()
    assert [one.name for one in archive.parent.iterdir() if one.name.startswith(".out.unpacking-")]
    unpack(archive, folder)
    assert content(folder) == FILES
    assert sorted(archive.parent.iterdir()) == [archive, folder]


def _counted(archive, folder, queue):
    made = []
    real, archives._make = archives._make, lambda *arguments: made.append(1) or real(*arguments)
    queue.put((len(unpack(archive, folder)), len(made)))


def test_two_processes_unpack_once(archive, folder):
    make_tar(archive, [(str(number), NOISE[:1000]) for number in range(500)])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_counted, args=(archive, folder, queue)) for _ in range(2)]
    for child in children:
        child.start()
    counts = [queue.get(timeout=20) for _ in children]
    for child in children:
        child.join()
    assert sorted(counts) == [(500, 0), (500, 1)]


# Hostile archives


@every_kind
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil", "leads out of the folder"),
        ("a/../../evil", "leads out of the folder"),
        ("a/..", "leads out of the folder"),
        ("/tmp/evil", "absolute path"),
        ("//host/evil", "absolute path"),
        ("C:/evil", "Windows path"),
        ("c:evil", "Windows path"),
        ("..\\evil", "Windows path"),
        ("a\\b", "Windows path"),
        ("a\n../../evil", "leads out"),
        (MARKER, "needed for other purposes"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(archive, folder, make, name, message):
    make(archive, [("good", b"1"), (name, b"2")])
    assert "entry " in refused(message, archive, folder)


def test_what_is_excluded_must_have_a_good_name_too(archive, folder):
    make_zip(archive, [("good", b"1"), ("../evil", b"2")])
    refused("'../evil' leads out", archive, folder, include=["good"])


def test_stripping_does_not_hide_a_bad_name(archive, folder):
    make_tar(archive, [("a/../../evil", b"2")])
    refused("leads out", archive, folder, strip=2)


def test_a_zero_byte_hides_nothing(archive, folder):
    make_zip(archive, [("good.txtX.exe", b"1")])
    archive.write_bytes(archive.read_bytes().replace(b"good.txtX", b"good.txt\0"))
    refused("zero byte", archive, folder)


@every_kind
def test_a_name_that_is_there_twice_is_refused(archive, folder, make):
    with pytest.warns(UserWarning) if make in (KINDS["zip"], KINDS["stored"]) else pytest.MonkeyPatch.context():
        make(archive, [("a/x", b"1"), ("b/x", b"2"), ("a/x", b"3")])
    refused("'a/x' is there twice", archive, folder)
    make(archive, [("a/x", b"1"), ("b/x", b"2")])
    refused("'b/x' is there twice", archive, folder, strip=1)


@every_kind
@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["a/b/c", "a"], ["a", "a/b/c"]])
def test_a_name_of_both_file_and_folder_is_refused(archive, folder, make, names):
    make(archive, [(name, b"1") for name in names])
    refused("'a' both a file and a folder", archive, folder)


def linked(kind, name="link", target="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device, pipe"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (b"Z", "a device, pipe or the like"),
    ],
)
def test_a_tar_with_anything_but_files_is_refused(archive, folder, kind, message):
    make_tar(archive, [("good", b"1"), (linked(kind), b"")])
    refused(f"'link' is {message}", archive, folder)
    # What is not wanted does no harm.
    unpack(archive, folder, include=["good"])
    assert content(folder) == {"good": b"1"}


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_zip_with_anything_but_files_is_refused(archive, folder, mode):
    info = zipfile.ZipInfo("link")
    info.external_attr = (mode | 0o777) << 16
    make_zip(archive, [("good", b"1"), (info, b"/etc/passwd")])
    refused("'link' is a (symbolic link|device)", archive, folder)


def test_an_encrypted_zip_is_refused(archive, folder):
    make_zip(archive, [("good", b"1"), ("hidden", b"2")])
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    data[central + 8] |= 1
    archive.write_bytes(data)
    refused("'hidden' is encrypted", archive, folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_method_is_refused(archive, folder, method):
    make_zip(archive, [("x", b"1" * 100)], method)
    refused(f"'x' is compressed by method {method}", archive, folder)


# Bombs


ZEROS = bytes(70 << 20)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb_is_refused(archive, folder, make):
    make(archive, [("good", b"1"), ("bomb", ZEROS)])
    assert archive.stat().st_size < 100_000
    refused("made to fill the disk", archive, folder)
    unpack(archive, folder, limits=Limits(ratio=2000))
    assert (folder / "bomb").stat().st_size == len(ZEROS)


def test_a_bomb_of_many_small_entries_is_refused(archive, folder):
    make_zip(archive, [(str(number), bytes(1 << 20)) for number in range(70)])
    refused("entry '64' makes more than 67.1MB", archive, folder)


@every_kind
def test_limits_of_bytes_and_entries(archive, folder, make):
    make(archive, FILES.items())
    refused("more than 3 entries", archive, folder, limits=Limits(entries=3))
    refused("more than", archive, folder, limits=Limits(total=300_500))
    unpack(archive, folder, limits=Limits(entries=4, total=320_000))


def central_size(archive, size):
    """Write another unpacked size into both headers of the only entry."""
    data = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.rindex(magic) + offset, size)
    archive.write_bytes(data)


@pytest.mark.parametrize(
    ("size", "message"), [(10, "damaged or cut short .*CRC"), (2_000_000, "another length than the 2000000 bytes")]
)
def test_a_zip_whose_header_lies_about_the_size(archive, folder, size, message):
    make_zip(archive, [("bomb", bytes(1_000_000))])
    central_size(archive, size)
    refused(f"entry 'bomb'.*{message}", archive, folder)


def test_a_tar_is_counted_while_it_is_read(archive, folder):
    # Excluded, so no header is added up; the bytes that pass are.
    make_tar(archive, [("good", b"1"), ("bomb", ZEROS)])
    refused("unpacks to more than", archive, folder, include=["good"])


def test_more_bytes_than_the_header_says_are_not_written(archive, folder):
    archive.write_bytes(b"")
    entry = entries.Entry("x", "file", 10, lambda: io.BytesIO(bytes(11)))
    with pytest.raises(UserError, match="another length than the 10 bytes"):
        archives._write(archive, entry, folder, lambda: None)
    assert folder.stat().st_size <= 10


def test_a_tar_with_a_name_of_gigabytes_is_refused(archive, folder):
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    make_tar(archive, [("good", b"1"), (info, bytes(5 << 20)), ("x", b"2")])
    refused("a header of 5242880 bytes", archive, folder)


# Damage


@every_kind
@pytest.mark.parametrize("kept", [0.5, 0.99, "tail"])
def test_an_archive_that_was_cut_is_refused(archive, folder, make, kept):
    make(archive, [(f"{number}", NOISE[number * 1000 :][:1000]) for number in range(50)])
    data = archive.read_bytes()
    # The tail: a tar without its end mark, or a packed one without its checksum.
    end = data.rstrip(b"\0") if make is KINDS["tar"] else data[:-6]
    archive.write_bytes(end if kept == "tail" else data[: int(len(end) * kept)])
    refused("damaged", archive, folder)


@every_kind
def test_damaged_content_is_refused(archive, folder, make):
    make(archive, [("first", b"1"), ("x", NOISE[:200_000])])
    data = bytearray(archive.read_bytes())
    if make is KINDS["tar"]:
        # A plain tar has checksums of its headers only.
        data[1024 + 150] ^= 1
    else:
        data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    refused("damaged", archive, folder)


def test_a_damaged_header_is_not_taken_for_the_end(archive, folder):
    make_tar(archive, [("a", b"1"), ("b", b"2")], "w:")
    data = bytearray(archive.read_bytes())
    data[1024:1030] = b"wrong!"
    archive.write_bytes(data)
    with tarfile.open(archive) as packed:
        assert packed.getnames() == ["a"]  # what the library makes of it
    refused("cut short after entry 'a'", archive, folder)


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html><p>Please log in", b"\x1f\x8bnonsense", b"PK nonsense", NOISE])
def test_another_file_is_no_archive(archive, folder, data):
    archive.write_bytes(data)
    refused("damaged", archive, folder)


def test_an_archive_without_files_is_refused(archive, folder):
    make_zip(archive, [("a/", b"")])
    refused("has no files", archive, folder)
    make_tar(archive, [("a/x", b"1")])
    refused("has no files of b/\\*", archive, folder, include=["b/*"])


def test_names_that_are_stripped_away_are_refused(archive, folder):
    make_zip(archive, [("a/x", b"1"), ("README", b"2")])
    refused("'README' has no name left", archive, folder, strip=1)
    unpack(archive, folder, strip=1, include=["a/*"])
    assert content(folder) == {"x": b"1"}


def test_a_missing_archive_and_a_negative_strip_are_named(archive, folder):
    with pytest.raises(UserError, match="archive: no such file"):
        unpack(archive, folder)
    with pytest.raises(UserError, match="archive: no such file"):
        unpack(archive, folder, checksum="0" * 8)
    with pytest.raises(UserError, match="-1 parts"):
        unpack(archive, folder, strip=-1)


# The disk


@every_kind
def test_a_disk_without_room_is_named(archive, folder, monkeypatch, make):
    make(archive, FILES.items())
    usage = type("Usage", (), {"free": 299_999})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"out: needs 30[01]kB, 300kB are free"):
        unpack(archive, folder)
    assert sorted(archive.parent.iterdir()) == [archive]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_named(archive, folder, monkeypatch):
    make_zip(archive, FILES.items())
    real = open
    monkeypatch.setattr(
        "builtins.open",
        lambda name, mode="r", *rest, **options: (
            real("/dev/full", "wb") if mode == "xb" else real(name, mode, *rest, **options)
        ),
    )
    with pytest.raises(UserError, match=f"{folder}: the disk is full"):
        unpack(archive, folder)
    assert sorted(archive.parent.iterdir()) == [archive]


def test_a_name_too_long_for_the_disk_is_named(archive, folder):
    make_zip(archive, [("x" * 300, b"1")])
    refused("cannot be unpacked .*too long", archive, folder)
