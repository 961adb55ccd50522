"""A lock that two processes on one machine take in turn."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from etc.core.errors import UserError
from etc.core.files import explained


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``, a file or folder that is about to be made; wait while another process holds it.

    The lock is the file ``.NAME.lock`` beside it, in a folder that is made when it is missing. The system releases it
    when its process dies, in whatever way; the file goes when the block ends.

    Raises:
        UserError: the folder cannot be written, or its file system has no locks.
    """
    lock = path.with_name(f".{path.name}.lock")
    descriptor = _acquire(lock, path)
    try:
        yield
    finally:
        # While it is still held: whoever waits for this file sees that it is gone and makes a new one.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(lock: Path, path: Path) -> int:
    told = False
    while True:
        try:
            with explained(lock.parent):
                lock.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(f"{lock.parent}: cannot be written ({error.strerror}); use another folder") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    print(f"{path}: waiting for another process that makes it", file=sys.stderr)
                    told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_the_same(descriptor, lock):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise UserError(
                f"{lock}: cannot be locked ({error.strerror}); use a folder on another file system"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_the_same(descriptor: int, lock: Path) -> bool:
    """Whether the file that is held still has the name: the last holder has removed it when it was done."""
    try:
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    except FileNotFoundError:
        return False
