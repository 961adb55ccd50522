"""Regular files: opened without waiting for what is none, refused in its place, and their checksums."""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import IO

from etc.core.errors import UserError


def open_regular(path: str | os.PathLike) -> IO[bytes]:
    """Open a regular file for reading. Opening a FIFO would wait for a writer; a device may never end.

    Raises:
        OSError: it is missing or cannot be opened; with ``ENXIO`` (which the system gives for sockets) it is no
            regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def refuse_special(path: Path) -> None:
    """Refuse a path that names, or leads to, anything but a regular file or nothing: reading a FIFO waits for ever.

    Raises:
        UserError: a device, FIFO or socket.
        IsADirectoryError: a folder.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: a device, FIFO or socket, not a regular file; give the name of a file")


def file_checksum(path: str | os.PathLike) -> str:
    """BLAKE2b of the content of a file, 32 hex digits.

    Raises:
        OSError: see :func:`open_regular`.
    """
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
