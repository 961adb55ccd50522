"""The archives of Cityscapes: which of them the parameters need, and how they are fetched.

csDownload, the tool of its authors (cityscapesscripts), logs in, resumes, and compares the MD5 sums of the site. The
account is its own affair: it asks for it on the terminal, and stores it if told to. Names and sizes are those of
https://www.cityscapes-dataset.com/downloads/.
"""

import contextlib
import functools
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from etc.core.errors import UserError, first_line
from etc.core.files import os_errors_in_one_line
from etc.fetch import TIMEOUT, ByteBar, agree, ensure_space, locked, require_network, volume
from etc.sources.cityscapes.files import COARSE, FINE, SEQUENCE, STILL, truth
from etc.sources.cityscapes.params import CityscapesParams
from etc.unzip import unzip

PAGE = "https://www.cityscapes-dataset.com/downloads"
_AGAIN = "run the command again to resume"


class Package(NamedTuple):
    """One archive.

    Attributes:
        size: bytes, rounded.
        kind: folder that it fills, below the root.
        folders: the folders below that.
    """

    size: int
    kind: str
    folders: tuple[str, ...]


_FINE_FOLDERS = ("train", "val", "test")

PACKAGES = {
    "gtFine_trainvaltest.zip": Package(241_000_000, FINE, _FINE_FOLDERS),
    "gtCoarse.zip": Package(1_300_000_000, COARSE, ("train", "train_extra", "val")),
    "leftImg8bit_trainvaltest.zip": Package(11_000_000_000, STILL, _FINE_FOLDERS),
    "leftImg8bit_trainextra.zip": Package(44_000_000_000, STILL, ("train_extra",)),
    "leftImg8bit_sequence_trainvaltest.zip": Package(324_000_000_000, SEQUENCE, _FINE_FOLDERS),
}


def package_text(kind: str, folder: str) -> str:
    """Name and size of the archive that ``{kind}/{folder}`` comes in."""
    name = _package(kind, folder)
    return f"{name} ({volume(PACKAGES[name].size)})"


def packages(params: CityscapesParams) -> list[str]:
    """Names of the archives that the parameters need, in the order of the table."""
    needed = set()
    for folder in params.folders():
        needed.add(_package(SEQUENCE if params.sequences and folder != "train_extra" else STILL, folder))
        if not (folder == "train_extra" and params.extra):
            needed.add(_package(truth(folder), folder))
    return [name for name in PACKAGES if name in needed]


def fetch(names: Sequence[str], folder: Path, agreed: bool) -> Path:
    """Download and unpack packages; existing ones stay.

    Each archive arrives in ``{folder}.part`` and is deleted once it is unpacked. What a killed run has got is used by
    the next.

    Args:
        names: of the archives, keys of ``PACKAGES``.
        folder: the root to make, or to add packages to.
        agreed: the user has agreed to the download; otherwise its size is printed and asked about.

    Returns:
        ``folder``.

    Raises:
        UserError: the network is forbidden, csDownload is not installed or fails, there is no account and no terminal
            to ask for it, no agreement, or no space.
    """
    if not (due := _missing(names, folder)):
        return folder
    layout = ", ".join(f"{PACKAGES[name].kind}/{below}" for name in due for below in PACKAGES[name].folders)
    require_network(folder, f"download {', '.join(due)} from {PAGE} on another machine and unpack in there: {layout}")
    tool = _tool()
    sizes = {name: PACKAGES[name].size for name in due}
    agree("Cityscapes", sizes, folder, agreed, "name its folder instead, see docs/datasets.md")
    with locked(folder):
        # Another process may have fetched them in the meantime.
        if due := _missing(names, folder):
            part = folder.with_name(f"{folder.name}.part")
            with os_errors_in_one_line(part):
                part.mkdir(exist_ok=True)
            # Pictures do not shrink in an archive, and each archive is deleted before the next one comes.
            arrived = sum(path.stat().st_size for path in part.iterdir() if path.is_file())
            wanted = [PACKAGES[name].size for name in due]
            ensure_space(folder, max(0, sum(wanted) + max(wanted) - arrived))
            session = _call(
                tool.login, f"delete {_account(tool)} if it exists, and run csDownload -l to store an account"
            )
            # csDownload sets no time limit: on a dead connection it would wait for ever.
            session.request = functools.partial(session.request, timeout=TIMEOUT)
            listed = _call(lambda: {one["name"] for one in tool.get_available_packages(session=session)})
            if closed := [name for name in due if name not in listed]:
                raise UserError(f"{', '.join(closed)}: not open to this Cityscapes account; ask for it at {PAGE}")
            for name in due:
                _bring(tool, session, part / name, folder)
            shutil.rmtree(part)
    return folder


def _package(kind: str, folder: str) -> str:
    return next(name for name, one in PACKAGES.items() if one.kind == kind and folder in one.folders)


def _missing(names: Sequence[str], root: Path) -> list[str]:
    return [
        name
        for name in names
        if not all((root / PACKAGES[name].kind / folder).is_dir() for folder in PACKAGES[name].folders)
    ]


def _tool() -> ModuleType:
    """The module of csDownload, where it has an account or can ask for one."""
    try:
        tool = importlib.import_module("cityscapesscripts.download.downloader")
    except ImportError as error:
        raise UserError(f"Cityscapes is downloaded by its own tool ({error}): pip install cityscapesscripts") from error
    if not _account(tool).is_file() and not sys.stdin.isatty():
        raise UserError(
            "csDownload has no Cityscapes account and no terminal to ask for it: run csDownload -l once and let it "
            f"store yours ({PAGE} gives one)"
        )
    # Its own bar would fill a log with ten lines a second.
    tool.tqdm = ByteBar
    return tool


def _account(tool: ModuleType) -> Path:
    """Where csDownload stores the account."""
    return Path(tool.appdirs.user_data_dir("cityscapesscripts", "cityscapes")) / "credentials.json"


def _call(step: Any, remedy: str = _AGAIN, **options: Any) -> Any:
    """Run a step of csDownload; a failure becomes one line, which ends with ``remedy`` unless the network failed."""
    from requests import RequestException

    try:
        with contextlib.redirect_stdout(sys.stderr):
            return step(**options)
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, RequestException):
            remedy = _AGAIN
    # Not raised in the except block: the tool's error may hold the request, and with it the password.
    raise UserError(f"csDownload failed ({reason}); {remedy}")


def _bring(tool: ModuleType, session: Any, archive: Path, root: Path) -> None:
    """Download one package and move its content to ``root``."""
    content, package = archive.with_suffix(""), PACKAGES[archive.name]
    done = archive.with_suffix(".whole")  # its checksum was right
    if not done.exists():
        if resume := archive.exists():
            # The site refuses to send what follows the last byte, so a complete file gets its last byte again.
            os.truncate(archive, max(0, archive.stat().st_size - 1))
        try:
            _call(
                tool.download_packages,
                session=session,
                package_names=[archive.name],
                destination_path=str(archive.parent),
                resume=resume,
            )
        except UserError as error:
            # Resuming could never put it right.
            if "MD5" in str(error):
                archive.unlink()
            raise
        archive.rename(done)
    unzip(done, content, f"{package.kind}/*")
    for name in package.folders:
        source, place = content / package.kind / name, root / package.kind / name
        if not source.is_dir() and not place.is_dir():
            raise UserError(f"{done}: holds no {package.kind}/{name}; delete it and run again")
        with os_errors_in_one_line(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_dir():
                source.rename(place)
    shutil.rmtree(content)
    done.unlink()
