"""Which entries of an archive are taken, and under which name: nothing outside the folder, and no bombs."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from etc.core.errors import UserError
from etc.downloading.meter import volume
from etc.unpacking.entries import Entry, quoted

_HARMLESS = 64 << 20  # bytes; a small archive may be packed as tightly as it likes
_REMEDY = "get the archive from a source that you trust"


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to.

    Attributes:
        total: bytes.
        entries: files and folders.
        ratio: unpacked to packed bytes, of the whole archive. Pictures reach 1, text 20, all zeros 1000.
    """

    total: int = 1 << 40
    entries: int = 2_000_000
    ratio: float = 200.0

    def bytes_of(self, packed: int) -> int:
        """How many bytes an archive of ``packed`` bytes may unpack to."""
        return min(self.total, max(_HARMLESS, int(self.ratio * packed)))


LIMITS = Limits()


class Admission:
    """Judges one entry after the other.

    Args:
        archive: the file, for messages.
        limits: for the whole archive.
        strip: how many leading parts of each name are dropped.
        include: patterns of the names that are wanted, before dropping; none = all.
        reserved: a name that no entry may take.
    """

    def __init__(self, archive: Path, limits: Limits, strip: int, include: Sequence[str], reserved: str):
        self._archive, self._limits = archive, limits
        self._strip, self._include, self._reserved = strip, include, reserved
        self._allowed = limits.bytes_of(archive.stat().st_size)
        self._entries = self._bytes = 0
        self._files: set[PurePosixPath] = set()
        self._folders: set[PurePosixPath] = set()

    def __call__(self, entry: Entry) -> PurePosixPath | None:
        """The path of a wanted file below the folder, None for what is not written.

        Raises:
            UserError: the entry is not to be trusted.
        """
        self._entries += 1
        if self._entries > self._limits.entries:
            raise UserError(
                f"{self._archive}: more than {self._limits.entries} entries; {_REMEDY}, or raise the limits"
            )
        path = self._path(entry)
        if self._include and not any(fnmatch.fnmatchcase(str(path), pattern) for pattern in self._include):
            return None
        if entry.kind not in ("file", "folder"):
            self._refuse(entry, f"is {entry.kind}, which is not unpacked")
        parts = path.parts[self._strip :]
        if entry.kind == "folder":
            self._take(entry, PurePosixPath(*parts), self._folders)
            return None
        if not parts:
            self._refuse(entry, f"has no name left without its first {self._strip} parts", "strip fewer, or exclude it")
        path = PurePosixPath(*parts)
        if path in self._files:
            self._refuse(entry, "is there twice")
        self._take(entry, path, self._files)
        self._count(entry)
        return path

    def _path(self, entry: Entry) -> PurePosixPath:
        name = entry.name
        if "\0" in name:
            self._refuse(entry, "has a zero byte in its name")
        if name.startswith("/"):
            self._refuse(entry, "has an absolute path")
        if re.match(r"[A-Za-z]:", name) or "\\" in name:
            self._refuse(entry, "has a Windows path")
        path = PurePosixPath(name)
        if ".." in path.parts:
            self._refuse(entry, "leads out of the folder")
        if not path.parts and entry.kind != "folder":
            self._refuse(entry, "has no name")
        return path

    def _take(self, entry: Entry, path: PurePosixPath, kind: set[PurePosixPath]) -> None:
        if path.parts[:1] == (self._reserved,):
            self._refuse(entry, "has a name that is needed for other purposes", "exclude it")
        kind.add(path)
        for parent in path.parents:
            # A known folder's parents are known too.
            if parent in self._folders:
                break
            self._folders.add(parent)
        clash = path if path in self._files and path in self._folders else None
        clash = clash or next((parent for parent in path.parents if parent in self._files), None)
        if clash is not None:
            self._refuse(entry, f"makes {quoted(str(clash))} both a file and a folder")

    def _count(self, entry: Entry) -> None:
        self._bytes += entry.size
        if self._bytes > self._allowed:
            packed = volume(self._archive.stat().st_size)
            self._refuse(
                entry,
                f"makes more than {volume(self._allowed)} out of {packed}, as an archive made to fill the disk",
                f"{_REMEDY}, or raise the limits",
            )

    def _refuse(self, entry: Entry, reason: str, remedy: str = _REMEDY) -> None:
        raise UserError(f"{self._archive}: entry {quoted(entry.name)} {reason}; nothing was unpacked: {remedy}")
