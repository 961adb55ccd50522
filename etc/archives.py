"""Unpacking an archive from outside, safely, wholly or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from etc.core.errors import UserError
from etc.core.files import explained, read_json, sha256, write_json
from etc.download import hex_digits
from etc.downloading.locks import locked
from etc.downloading.meter import track_bytes
from etc.downloading.space import ensure_space
from etc.unpacking.admission import LIMITS, Admission, Limits
from etc.unpacking.entries import Contents, Entry, damage, opened, quoted

MARKER = ".unpacked.json"  # in the folder: what it was made of, and the size of each file
_BLOCK = 1 << 20


def unpack(
    archive: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    strip: int = 0,
    include: Sequence[str] = (),
    checksum: str | None = None,
    limits: Limits = LIMITS,
) -> list[Path]:
    """Unpack a zip or tar (plain, gzip, bzip2 or xz) into a folder that takes its name when everything is there.

    A folder that is complete already stays as it is; with ``checksum`` the archive is not even needed then. Files that
    were added to it do no harm. A run that is killed leaves nothing but a hidden folder that the next one removes. A
    second process that wants the same folder waits and uses the result. Only names and contents are unpacked: no
    owners, permissions, times or empty folders.

    Args:
        archive: the file; its content tells its kind, not its name.
        folder: to be made; an empty one may be there.
        strip: how many leading parts of each name are dropped.
        include: patterns of the wanted names, before dropping, such as ``gtFine/val/*``; ``*`` matches ``/`` too.
            No pattern = all.
        checksum: the archive's SHA-256 or its first hex digits, at least 8, if it has been verified; None = it is
            computed, which reads the whole archive.
        limits: what the archive may unpack to.

    Returns:
        The files, sorted.

    Raises:
        UserError: naming the archive and the entry: an entry that leads out of the folder (``..``, an absolute or
            Windows path), a link, a device, a name that is there twice, an encrypted file, more bytes or entries than
            the limits, damage; or the disk is full, nothing matches, or the folder holds something else.
    """
    archive, folder = Path(archive), Path(folder)
    if isinstance(include, str):
        include = (include,)
    if strip < 0:
        raise UserError(f"{archive}: {strip} parts cannot be dropped; give 0 or more")
    if checksum is None:
        checksum = sha256(archive)
    checksum = hex_digits(checksum, str(archive))
    # What the folder's name stands for: the temporary one is to be on the same disk.
    place = folder.resolve()
    files = unpacked(folder, checksum, strip=strip, include=include)
    if files is None:
        with locked(place):
            files = unpacked(folder, checksum, strip=strip, include=include)
            if files is None:
                try:
                    with explained(folder):
                        names = _make(archive, place, strip, include, checksum, limits)
                except OSError as error:
                    raise UserError(
                        f"{archive}: cannot be unpacked into {folder} ({error.strerror}); use another folder"
                    ) from error
                files = [folder / name for name in sorted(names)]
    return files


def unpacked(
    folder: str | os.PathLike, checksum: str, *, strip: int = 0, include: Sequence[str] = ()
) -> list[Path] | None:
    """The files, sorted, that ``unpack`` made of the same archive with the same choices; None if it has not run.

    Raises:
        UserError: the folder holds something else, or a file is gone or has another size.
    """
    folder = Path(folder)
    include = (include,) if isinstance(include, str) else include
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    notes = read_json(folder / MARKER) if (folder / MARKER).is_file() else {"checksum": "", "strip": 0, "include": []}
    made, wanted = notes["checksum"], hex_digits(checksum, str(folder))
    digits = min(len(made), len(wanted))
    same = digits > 0 and made[:digits] == wanted[:digits]
    if not same or (notes["strip"], notes["include"]) != (strip, sorted(include)):
        raise UserError(
            f"{folder}: is there already and was not unpacked from this archive with these choices; delete it, "
            "or give another folder"
        )
    for name, size in notes["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise UserError(f"{path}: is gone or changed since it was unpacked; delete {folder} and run again")
    return [folder / name for name in sorted(notes["files"])]


def _make(
    archive: Path, folder: Path, strip: int, include: Sequence[str], checksum: str, limits: Limits
) -> dict[str, int]:
    """Unpack into a temporary folder and give it the name. Returns path and size of each file."""
    if not archive.is_file():
        raise UserError(f"{archive}: no such file; give the path of an archive")
    prefix = f".{folder.name}.unpacking-"
    # The lock is held, so these are of runs that were killed.
    for stale in [one for one in folder.parent.iterdir() if one.name.startswith(prefix)]:
        shutil.rmtree(stale, ignore_errors=True)
    # mkdtemp makes a private folder; the one inside has the usual permissions.
    outer = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        inner = outer / "content"
        inner.mkdir()
        admission = Admission(archive, limits, strip, include, MARKER)
        with opened(archive, limits.bytes_of(archive.stat().st_size)) as contents:
            files = {str(name): size for name, size in _write_all(archive, contents, admission, inner, folder)}
        if not files:
            choice = f" of {', '.join(include)}" if include else ""
            raise UserError(f"{archive}: has no files{choice}; correct the patterns, or get the right archive")
        # Last: what has no marker is not complete.
        write_json(inner / MARKER, {"checksum": checksum, "strip": strip, "include": sorted(include), "files": files})
        os.replace(inner, folder)
    finally:
        shutil.rmtree(outer, ignore_errors=True)
    return files


def _write_all(
    archive: Path, contents: Contents, admission: Admission, folder: Path, final: Path
) -> Iterator[tuple[PurePosixPath, int]]:
    """Write what is admitted into ``folder``, to be called ``final``; path and size of each file."""
    admitted: Iterator[tuple[Entry, PurePosixPath | None]] = ((entry, admission(entry)) for entry in contents.entries)
    if isinstance(contents.entries, Sequence):
        # All headers are known, so everything is judged before the first byte is written.
        chosen = [(entry, path) for entry, path in admitted if path is not None]
        ensure_space(final, sum(entry.size for entry, _ in chosen))
        admitted = iter(chosen)
    made = {folder}
    with track_bytes(archive.stat().st_size, f"unpacking {archive.name}") as show:
        for entry, path in admitted:
            if path is None:
                continue
            target = folder / path
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            ensure_space(final, entry.size)
            _write(archive, entry, target, lambda: show(contents.position()))
            yield path, entry.size


def _write(archive: Path, entry: Entry, target: Path, show: Callable[[], None]) -> None:
    """Write one file, of exactly the size that its header says."""
    written = 0
    with damage(archive, entry.name):
        source = entry.open()
    with source, open(target, "xb") as sink:
        while True:
            with damage(archive, entry.name):
                block = source.read(_BLOCK)
            if not block:
                break
            written += len(block)
            if written > entry.size:
                break
            sink.write(block)
            show()
    if written != entry.size:
        raise UserError(
            f"{archive}: entry {quoted(entry.name)} has another length than the {entry.size} bytes of its header; "
            "nothing was unpacked: get the archive again"
        )
