"""Writing files so that a reader never sees half of one."""

import contextlib
import errno
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from etc.core.errors import UserError, first_line
from etc.core.outputs import begin, finish, refuse_special

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows: use another file system or limit",
    errno.EDQUOT: "the disk quota is used up: free some space and run again",
    errno.EACCES: "no permission: change the permissions, or use another folder",
    errno.EPERM: "no permission: change the permissions, or use another folder",
    errno.EROFS: "the file system is read-only: use a folder that can be written",
    errno.ELOOP: "its symbolic links lead in a circle: replace them with the file or folder itself",
    errno.ENAMETOOLONG: "the name is too long: use a shorter one",
    errno.EMFILE: "too many open files: raise the limit with `ulimit -n`",
    errno.EISDIR: "this is a folder: give the name of a file",
    errno.EEXIST: "a file stands in the way: use another folder",
    errno.ENOTDIR: "a file stands in the way: use another folder",
}


@contextlib.contextmanager
def os_errors_in_one_line(path: str | os.PathLike | None = None) -> Iterator[None]:
    """Report operating-system errors (a full disk, no permission, a read-only folder) in one line with a remedy.

    Args:
        path: the file to name; None: the one that the error names.

    Raises:
        UserError: in place of such an ``OSError``; others are not caught.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch.save reports a full disk as a RuntimeError of its own, raised while handling the system's.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) or cause.errno not in _REMEDIES:
            raise
        raise UserError(f"{path or cause.filename or 'files'}: {_REMEDIES[cause.errno]}") from error


@contextlib.contextmanager
def atomic(path: str | os.PathLike, mode: str = "wb", durable: bool = True) -> Iterator[IO]:
    """Open a temporary file beside ``path`` that takes its name when the block ends without an error.

    A missing folder is created. On any error the temporary file is removed and ``path`` stays as it was. Inside
    :func:`etc.core.outputs.together` it takes its name when that block ends.

    Args:
        path: the file.
        mode: ``wb`` or ``w`` (UTF-8).
        durable: wait until the bytes are on the disk, so that even a power cut leaves no half file; not worth it for
            thousands of small files whose content is checked later.

    Raises:
        UserError: the disk is full, the folder cannot be written, or ``path`` is no regular file.
    """
    path = Path(path)
    options = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    temporary = None
    try:
        with os_errors_in_one_line(path):
            descriptor, temporary = begin(path)
            with os.fdopen(descriptor, mode, **options) as stream:
                yield stream
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            finish(temporary, path)
            temporary = None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where downloaded files are kept between projects: ``$XDG_CACHE_HOME/etc-segmentation`` or ``~/.cache/…``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "etc-segmentation"


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as JSON with sorted keys, so that equal values give equal bytes."""
    with atomic(path, "w") as stream:
        stream.write(json_text(value))


def json_text(value: Any) -> str:
    """JSON with sorted keys and a final newline."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def read_text(path: str | os.PathLike) -> str:
    """Read a text file in UTF-8.

    Raises:
        UserError: it is no regular file (reading a FIFO would wait for ever), not UTF-8, or cannot be read.
        FileNotFoundError: it is missing.
    """
    path = Path(path)
    with os_errors_in_one_line(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: not a regular file but a folder, FIFO or device; put a text file there")
        data = path.read_bytes()
    try:
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing, cannot be read or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(read_text(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; the stage that makes it has not run") from error
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits, and deep nesting
        reason = first_line(error)
        raise UserError(f"{path}: not JSON ({reason}); delete it and run the stage that makes it again") from error


def check_archive(path: str | os.PathLike) -> None:
    """Compare the members of a zip archive with their checksums, which torch does not do when it reads one.

    Raises:
        ValueError: a member is damaged. A damaged directory of the archive raises errors of ``zipfile`` and others.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, 64 hex digits.

    Raises:
        UserError: the file is missing, or no regular file.
    """
    try:
        refuse_special(Path(path))
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path}: no such file; give the path of an existing one") from error
