"""Unpacking an untrusted .zip: safely, and completely or not at all."""

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path

from etc.core.errors import UserError, first_line
from etc.core.files import os_errors_in_one_line
from etc.core.progress import track
from etc.fetch import ensure_space, locked

_BLOCK = 4096  # bytes counted for each file beside its content, so that many empty ones cannot fill the disk
# What zipfile raises for damaged archives.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)
_CLASHES = (FileExistsError, IsADirectoryError, NotADirectoryError)


def unzip(archive: Path, folder: Path, include: str = "*") -> Path:
    """Unpack the files of a .zip into a folder that appears when all of them are there.

    An existing folder stays as it is. A second process that wants the same folder waits and uses the result. Names and
    contents are unpacked; permissions, times and empty folders are not.

    Args:
        archive: the .zip.
        folder: to be made.
        include: pattern of the wanted names, such as ``gtFine/*``; ``*`` matches ``/`` too.

    Returns:
        ``folder``.

    Raises:
        UserError: an entry leads out of the folder, is a link or a device, is encrypted, or clashes with another;
            the archive is damaged or has no such files; or the sizes in its directory exceed the free space.
    """
    with locked(folder):
        if folder.is_dir():
            return folder
        part = folder.with_name(f"{folder.name}.unzipping")
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        try:
            with os_errors_in_one_line(folder):
                _extract(archive, part, include)
                part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _extract(archive: Path, folder: Path, include: str) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            chosen = [one for one in content.infolist() if not one.is_dir() and fnmatchcase(one.filename, include)]
            for entry in chosen:
                if complaint := _complaint(entry):
                    raise UserError(f"{archive}: entry {entry.filename!r} {complaint}; get another archive")
            if not chosen:
                raise UserError(f"{archive}: holds no files {include}; get the right archive")
            ensure_space(folder, sum(entry.file_size + _BLOCK for entry in chosen))
            for entry in track(chosen, len(chosen), f"unpacking {archive.name}"):
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                # zipfile reads no more than the size in the directory, and compares the checksum at the end.
                with content.open(entry) as source, open(target, "xb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                if target.stat().st_size != entry.file_size:
                    raise zipfile.BadZipFile(f"entry {entry.filename!r} is shorter than the directory says")
    except _CLASHES as error:
        raise UserError(f"{archive}: two entries clash ({error.filename}); get another") from error
    except (*_DAMAGE, OSError) as error:
        # zipfile seeks wherever a damaged directory sends it.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise UserError(f"{archive}: not a whole .zip ({first_line(error)}); get it again") from error


def _complaint(entry: zipfile.ZipInfo) -> str:
    """Why an entry is refused; empty for a good one."""
    parts = entry.filename.split("/")
    long = any(len(part.encode()) > 255 for part in parts)
    if long or {"", ".", ".."} & set(parts) or {"\\", ":"} & set(entry.filename):
        return "leads out of the folder, or is no plain path"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or another special file"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed by another method than deflate"
    return ""
