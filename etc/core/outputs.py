"""What a command may write: never over a file that it did not make, and all of its outputs or none.

How a command knows what it made, so that running it again may replace it:

- A *file* named by an option (``--json``, ``--to network.onnx``) is replaced when it is empty or when the command
  recognises its content as its own. A symbolic link there is replaced; the file that it leads to stays.
- A *folder* named by an option holds ``.etc-outputs.json``, the checksums of the files made there. A file in the way is
  replaced when its checksum is listed, so that one that was edited or put there since is kept.

Anything else in the way is refused before anything is computed, as are outputs inside inputs, one path for two outputs,
devices, FIFOs and sockets. A file of the pipeline has a fixed name and is always replaced.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from etc.core.errors import UserError
from etc.core.regular import file_checksum, refuse_special

MARKER = ".etc-outputs.json"
# Whoever gives a folder such a name expects a file.
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_DATA = (".npy", ".npz", ".zip", ".tar", ".gz", ".json", ".csv", ".parquet", ".arrow", ".flo", ".onnx", ".pt2", ".pth")
_FILE_SUFFIXES = (*_VIDEOS, *_PICTURES, *_DATA)

Made = Callable[[Path], bool]


def check_files(files: Mapping[Path, Made] | Iterable[tuple[Path, Made]], inputs: Iterable[Path] = ()) -> None:
    """See before a long computation that its files can be written and replace nothing of anyone else.

    Args:
        files: each output with a function that recognises, by its content, a file that this command made. What the
            function raises means that it did not.
        inputs: files and folders that the command reads.

    Raises:
        UserError: an output is an input or lies in one, is named for two outputs, is no regular file, or was not made
            by this command.
        OSError: its folder cannot be made or written; see ``etc.core.files.os_errors_in_one_line``.
    """
    files, inputs = list(files.items() if isinstance(files, Mapping) else files), list(inputs)
    seen: list[Path] = []
    for path, made in files:
        for other in seen:
            if _within(path, other) or _within(other, path):
                raise UserError(f"{path}: at or below another output, {other}; give each output a place of its own")
        seen.append(path)
        _check_outside(path, inputs)
        check_place(path)
        if path.exists() and path.stat().st_size and not _recognised(made, path):
            raise UserError(f"{path}: exists and was not made by this command; move it away, or give another name")


def check_folder(folder: Path, names: Iterable[str], inputs: Iterable[Path] = ()) -> None:
    """The same for a folder of outputs; write them inside ``together(folder)``.

    Args:
        folder: made when missing.
        names: paths below it of the files that will be written.
        inputs: files and folders that the command reads.

    Raises:
        UserError: it has the name of a file, it or a file lies in an input, or a file in the way was not made by such
            a command or has changed since.
        OSError: it cannot be made or written.
    """
    folder, inputs = Path(folder), list(inputs)
    if folder.suffix.lower() in _FILE_SUFFIXES and not folder.exists():
        raise UserError(f"{folder}: a folder is written here, not a {folder.suffix} file; name a folder")
    _check_outside(folder, inputs)
    refuse_special(folder / MARKER)
    _check_writable(folder, folder / MARKER)
    listed = _listed(folder)
    seen = set()
    for name in names:
        path = folder / name
        if name in seen:
            raise UserError(f"{path}: two outputs would have this name; rename one of the inputs")
        seen.add(name)
        _check_outside(path, inputs)
        refuse_special(path)
        if path.exists() and listed.get(name) != file_checksum(path):
            raise UserError(
                f"{path}: exists and was not made by this command, or has changed since; move it away, or choose "
                "another folder"
            )


def check_place(path: Path) -> None:
    """See that a file can be written at ``path``; nothing is left behind.

    Raises:
        UserError: a device, FIFO or socket is there.
        OSError: a folder is there, or the folder cannot be made or written.
    """
    refuse_special(path)
    _check_writable(path, path)


@contextlib.contextmanager
def together(folder: Path | None = None) -> Iterator[None]:
    """Let all files that are written in the block, by ``etc.core.files.atomic``, appear when it ends, or none.

    On an error, also in the last step, files that were there are as before, and new files and folders are gone. Only a
    kill in the last step, a loop of renames, can leave some of them.

    Args:
        folder: folder of outputs, checked by :func:`check_folder`; the files in it are listed there as made.
    """
    transaction = _Transaction(folder)
    token = _current.set(transaction)
    try:
        yield
        if folder is not None:
            transaction.write_marker()
        transaction.appear()
    except BaseException:
        transaction.undo()
        raise
    finally:
        _current.reset(token)


def begin(path: Path) -> tuple[int, Path]:
    """A temporary file beside ``path``, open for writing, and its name; the folder is made when it is missing.

    Raises:
        UserError: see :func:`refuse_special`.
        OSError: the system refuses it.
    """
    refuse_special(path)
    transaction = _current.get()
    if transaction is not None:
        transaction.folders += [one for one in path.absolute().parents if not one.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = _temporary(path, path.parent)
    # mkstemp makes private files; data and results are for whoever may read the folder.
    temporary.chmod(0o666 & ~_umask())
    return descriptor, temporary


def finish(temporary: Path, path: Path) -> None:
    """Give the finished temporary file its name, at once or when the block of :func:`together` ends."""
    transaction = _current.get()
    if transaction is None:
        os.replace(temporary, path)
    else:
        transaction.add(temporary, path)


class _Transaction:
    """Finished files that wait for their names."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.files: list[tuple[Path, Path]] = []
        self.folders: list[Path] = []
        self.digests: dict[str, str] = {}

    def add(self, temporary: Path, path: Path) -> None:
        self.files.append((temporary, path))
        if self.folder is not None:
            self.digests[path.relative_to(self.folder).as_posix()] = file_checksum(temporary)

    def write_marker(self) -> None:
        """List what was made in the folder, now and before."""
        marker = self.folder / MARKER
        before = {name: digest for name, digest in _listed(self.folder).items() if (self.folder / name).is_file()}
        descriptor, temporary = begin(marker)
        self.files.append((temporary, marker))
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(before | self.digests, stream, indent=0, sort_keys=True)

    def appear(self) -> None:
        """Rename all; on an error put everything back."""
        old: dict[Path, Path] = {}
        begun: list[Path] = []
        try:
            if len(self.files) > 1:
                for _, path in self.files:
                    if path not in old and os.path.lexists(path):
                        old[path] = _second_name(path)
            for temporary, path in self.files:
                begun.append(path)
                try:
                    os.replace(temporary, path)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(path)) from error
        except BaseException:
            for path in begun:
                with contextlib.suppress(OSError):
                    if path in old:
                        os.replace(old[path], path)
                    else:
                        path.unlink(missing_ok=True)
            raise
        finally:
            for path in old.values():
                path.unlink(missing_ok=True)

    def undo(self) -> None:
        """Remove the temporary files, and the folders that were made for them."""
        for temporary, _ in self.files:
            temporary.unlink(missing_ok=True)
        for one in sorted(set(self.folders), key=lambda one: -len(one.parts)):
            with contextlib.suppress(OSError):
                one.rmdir()


_current: ContextVar[_Transaction | None] = ContextVar("transaction", default=None)


def _check_outside(path: Path, inputs: Iterable[Path]) -> None:
    for one in inputs:
        if _within(path, one):
            same = os.path.realpath(path) == os.path.realpath(one)
            place = "the same as" if same else "inside"
            raise UserError(f"{path}: {place} the input {one}; write to a place outside the inputs")


def _within(path: Path, folder: Path) -> bool:
    """Whether a path is, or lies below, another one once all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _check_writable(named: Path, path: Path) -> None:
    there = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        descriptor, temporary = _temporary(path, there)
    except OSError as error:
        # In folders such as /proc, where no file can be made, the system says that there is none.
        number = errno.EROFS if error.errno == errno.ENOENT else error.errno
        raise OSError(number, os.strerror(number), str(named)) from error
    os.close(descriptor)
    temporary.unlink()


def _temporary(path: Path, folder: Path) -> tuple[int, Path]:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=folder)
    return descriptor, Path(name)


def _second_name(path: Path) -> Path:
    """Another name for a file, by which it can be put back."""
    other = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(path, other, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(path, other, follow_symlinks=False)
    return other


def _recognised(made: Made, path: Path) -> bool:
    try:
        return made(path)
    except Exception:  # readers fail on foreign content in many ways
        return False


def _listed(folder: Path) -> dict[str, str]:
    """Checksums of the files made in a folder, by their path below it."""
    try:
        listed = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return listed if isinstance(listed, dict) else {}


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
