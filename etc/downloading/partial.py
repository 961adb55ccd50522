"""The bytes of an unfinished download, and what is known about where they come from."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from etc.core.files import explained, write_json
from etc.downloading.addresses import shown

_BLOCK = 1 << 20


class Partial:
    """The file ``NAME.part`` beside the target, and ``NAME.part.json`` with its address, version and length.

    Bytes of another address, of unknown origin, or whose version cannot be told are dropped at once.

    Args:
        path: the ``.part`` file.
        url: where it comes from; stored without user, password and query.
        checked: a checksum decides at the end, so bytes of a server that names no version are worth keeping.
        size: bytes of the whole file, where known.

    Attributes:
        size: how many bytes are there.
        expected: what the caller says of the whole file, None = nothing.
        total: how many there will be, by the caller or else the server, None = unknown.
        resumed: whether some of them come from an earlier answer.
    """

    def __init__(self, path: Path, url: str, checked: bool, size: int | None):
        self.path = path
        self._notes = path.with_name(f"{path.name}.json")
        self._url = shown(url)
        self._checked = checked
        self._etag = self._modified = ""
        self._digest = hashlib.sha256()
        self.size = 0
        self.expected = self.total = size
        self.resumed = False
        if not self._load():
            self.discard()

    @property
    def complete(self) -> bool:
        """Whether every byte is there, and a checksum will say whether they are the right ones."""
        return self._checked and self.size > 0 and self.size == self.total

    @property
    def version(self) -> str:
        """What the server calls this version of the file: a strong ETag, or else a date; "" = nothing."""
        return self._modified if self._etag.startswith("W/") or not self._etag else self._etag

    def is_of(self, etag: str, total: int | None) -> bool:
        """Whether an answer continues these bytes: the ETag and the length are those of the earlier one."""
        return (not self._etag or not etag or etag == self._etag) and self.total in (None, total)

    def hexdigest(self) -> str:
        """SHA-256 of the bytes."""
        return self._digest.hexdigest()

    def start(self, etag: str, modified: str, total: int | None) -> None:
        """Drop what is there and note the version of what will come."""
        self.discard()
        self._etag, self._modified = etag, modified
        self.total = total if self.expected is None else self.expected
        with explained(self.path):
            self.path.touch()
        write_json(self._notes, {"url": self._url, "etag": etag, "modified": modified, "total": self.total})

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """A function that appends bytes.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        self.resumed = self.size > 0
        with explained(self.path), open(self.path, "ab", buffering=_BLOCK) as stream:

            def append(block: bytes) -> None:
                stream.write(block)
                self._digest.update(block)
                self.size += len(block)

            yield append

    def place(self, path: Path) -> None:
        """Give the bytes, safely on the disk, the name ``path``."""
        with open(self.path, "rb") as stream:
            os.fsync(stream.fileno())
        # The notes first: bytes without notes are never continued.
        self._notes.unlink(missing_ok=True)
        os.replace(self.path, path)

    def tidy(self) -> None:
        """Leave nothing behind where there is nothing to continue."""
        if self.path.exists() and self.path.stat().st_size == 0:
            self.discard()

    def discard(self) -> None:
        """Remove both files."""
        self._notes.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._etag = self._modified = ""
        self._digest = hashlib.sha256()
        self.size = 0
        self.total = self.expected
        self.resumed = False

    def _load(self) -> bool:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            url, etag, modified, total = (notes[key] for key in ("url", "etag", "modified", "total"))
            size = self.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if url != self._url or not isinstance(etag, str) or not isinstance(modified, str) or size == 0:
            return False
        if self.total is not None and total not in (None, self.total):
            return False
        self._etag, self._modified = etag, modified
        self.total = self.total if total is None else total
        if not (self.version or self._checked) or (self.total is not None and size > self.total):
            return False
        with open(self.path, "rb") as stream:
            while block := stream.read(_BLOCK):
                self._digest.update(block)
                self.size += len(block)
        self.resumed = True
        return True
