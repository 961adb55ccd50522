"""What is in an archive, zip or tar, in one form. An archive may come from anywhere, so nothing in it is believed."""

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from etc.core.errors import UserError, first_line
from etc.core.files import explained

_LONGEST_READ = 4 << 20  # a name of gigabytes would fill the memory
_BLOCK = 1 << 20
_PACKERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
# What the readers raise for damaged archives.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True)
class Entry:
    """One entry, as its header has it.

    Attributes:
        name: the path, whatever it looks like.
        kind: ``file``, ``folder``, or in words what it is instead.
        size: bytes, unpacked.
        open: opens the content, which may be of another length.
    """

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Contents:
    """The entries of an open archive.

    Attributes:
        entries: all of them; of a zip at once (a sequence), of a tar one by one, each to be read before the next.
        position: how many bytes of the archive have been read.
    """

    entries: Sequence[Entry] | Iterator[Entry]
    position: Callable[[], int]


@contextlib.contextmanager
def damage(archive: Path, entry: str | None = None) -> Iterator[None]:
    """Turn what the readers raise into one line that names the archive and the entry.

    Raises:
        UserError: in place of it.
    """
    try:
        yield
    except _DAMAGE as error:
        place = "" if entry is None else f" entry {quoted(entry)}:"
        raise UserError(
            f"{archive}:{place} damaged or cut short ({first_line(error)}); get the archive again"
        ) from error


def quoted(name: str) -> str:
    """The name of an entry for a message: on one line, and not too long."""
    return repr(name if len(name) <= 200 else f"{name[:200]}…")


@contextlib.contextmanager
def opened(archive: Path, allowed: int) -> Iterator[Contents]:
    """Open a zip, or a tar that is plain or packed by gzip, bzip2 or xz; the content tells which, not the name.

    Args:
        archive: the file.
        allowed: bytes that a tar may have in all, unpacked.

    Raises:
        UserError: it is none of these, or damaged.
    """
    with explained(archive):
        raw = open(archive, "rb")  # noqa: SIM115, it is closed below; what happens there is not this file's fault
    with raw:
        start = raw.read(8)
        raw.seek(0)
        if start.startswith(b"PK"):
            with damage(archive):
                packed = zipfile.ZipFile(raw)
            # In the order of the file, so that it is read from start to end.
            entries = [_zip_entry(packed, one) for one in sorted(packed.infolist(), key=lambda one: one.header_offset)]
            yield Contents(entries, raw.tell)
            return
        packer = next((packer for magic, packer in _PACKERS if start.startswith(magic)), None)
        stream = _Forward(raw if packer is None else packer(raw), archive, allowed)
        try:
            tar = tarfile.TarFile(fileobj=stream)  # noqa: SIM115, it has nothing to close
        except _DAMAGE as error:
            raise UserError(
                f"{archive}: no zip or tar archive, or damaged (it starts with {start!r}: {first_line(error)}); "
                "get it again"
            ) from error
        yield Contents(_tar_entries(tar, stream, archive), raw.tell)


def _zip_entry(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    mode = info.external_attr >> 16
    if info.flag_bits & 0x41:
        kind = "encrypted"
    elif stat.S_ISLNK(mode):
        kind = "a symbolic link"
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a device or pipe"
    elif info.is_dir():
        kind = "folder"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks a few bytes of the other methods to gigabytes in one step.
        kind = f"compressed by method {info.compress_type}, not stored or deflated"
    else:
        kind = "file"
    # filename ends at a zero byte, which would hide what follows.
    return Entry(info.orig_filename, kind, info.file_size, lambda: packed.open(info))


def _tar_entries(tar: tarfile.TarFile, stream: "_Forward", archive: Path) -> Iterator[Entry]:
    name = None
    while True:
        with damage(archive, name):
            info = tar.next()
        if info is None:
            break
        # Not needed again; a list of millions would only grow.
        tar.members.clear()
        name = info.name
        yield Entry(name, _tar_kind(info), info.size, lambda info=info: tar.extractfile(info))
    # tarfile takes a broken header for the end; the real one is a block of zeros.
    if stream.last != bytes(tarfile.BLOCKSIZE):
        after = "" if name is None else f" after entry {quoted(name)}"
        raise UserError(f"{archive}: damaged or cut short{after} (no end mark); get the archive again")
    # The packers compare their checksum when they reach the end.
    with damage(archive):
        while stream.read(_BLOCK):
            pass


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    if info.issym():
        return "a symbolic link"
    if info.islnk():
        return "a hard link"
    if info.issparse():
        return "a sparse file"
    return "file" if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else "a device, pipe or the like"


class _Forward:
    """The unpacked bytes of a tar, read once from start to end, never more than are allowed."""

    def __init__(self, stream: IO[bytes], archive: Path, allowed: int):
        self._stream, self._archive, self._allowed = stream, archive, allowed
        self._position = 0
        self.last = b""  # what was read last

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {count} bytes")
        self.last = self._stream.read(count)
        self._position += len(self.last)
        if self._position > self._allowed:
            raise UserError(
                f"{self._archive}: unpacks to more than {self._allowed} bytes, as an archive made to fill the disk; "
                "nothing was kept: get it from a source that you trust, or raise the limits"
            )
        return self.last

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self._position:
            raise tarfile.ReadError("a header that points backwards")
        while self._position < position and self.read(min(_BLOCK, position - self._position)):
            pass
        return self._position
