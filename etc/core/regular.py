"""Regular files: opened without waiting for what is none, and their checksums."""

import errno
import hashlib
import os
import stat
from typing import IO


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


def file_checksum(path: str | os.PathLike) -> str:
    """BLAKE2b of the content of a file, 32 hex digits.

    Raises:
        OSError: see :func:`open_regular`.
    """
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
