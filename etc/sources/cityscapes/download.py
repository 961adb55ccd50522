"""Downloading packages of Cityscapes through its own tool, with the user's own account."""

import contextlib
import hashlib
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import requests

from etc.archives import unpack
from etc.core.errors import UserError
from etc.core.files import explained
from etc.download import OFFLINE, is_offline
from etc.downloading import transfer
from etc.downloading.locks import locked
from etc.downloading.meter import volume
from etc.downloading.partial import Partial
from etc.downloading.space import ensure_space
from etc.sources.cityscapes import account
from etc.sources.cityscapes.packages import PACKAGES
from etc.sources.consent import ask, can_ask, unasked


class Offer(NamedTuple):
    """A package as the site lists it.

    Attributes:
        name: of the archive.
        number: its id on the site.
        size: about how many bytes; the site rounds.
    """

    name: str
    number: str
    size: int


def fetch(names: Sequence[str], folder: Path, agreed: bool) -> Path:
    """Download and unpack packages; those that are there already stay.

    The archives arrive in ``{folder}.part`` and are deleted once unpacked. ``folder`` appears when all are complete;
    what a killed run has got is used by the next.

    Args:
        names: of the archives, keys of ``PACKAGES``.
        folder: the root to make, or to add packages to.
        agreed: the user has agreed to the download; otherwise its size is printed and asked about.

    Returns:
        ``folder``.

    Raises:
        UserError: the tool is not installed, there is no account or no access, no agreement, no space, or a download
            fails.
    """
    due = [name for name in names if not _is_there(folder, name)]
    if not due:
        return folder
    if is_offline():
        layout = ", ".join(f"{PACKAGES[name].kind}/{below}" for name in due for below in PACKAGES[name].folders)
        raise UserError(
            f"{folder}: {', '.join(due)} missing, and {OFFLINE} forbids the network; download from "
            f"{account.SITE}/downloads on another machine and unpack in there, so that it holds {layout}"
        )
    downloader = account.tool()
    if not agreed and not can_ask():
        raise unasked("Cityscapes", " + ".join(f"{name} ({PACKAGES[name].size})" for name in due), folder)
    with locked(folder):
        part = folder.with_name(f"{folder.name}.part")
        target = folder if folder.is_dir() else part / "whole"
        due = [name for name in due if not _is_there(target, name)]
        if due:
            session = account.login()
            offers = _offers(due, downloader, session)
            _agree(offers, folder, part, agreed)
            for offer in offers:
                _bring(offer, session, part, target)
        with explained(folder):
            if target != folder:
                target.rename(folder)
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _is_there(root: Path, name: str) -> bool:
    package = PACKAGES[name]
    return all((root / package.kind / folder).is_dir() for folder in package.folders)


def _offers(names: Sequence[str], downloader: ModuleType, session: requests.Session) -> list[Offer]:
    """The packages as the site lists them for this account.

    Raises:
        UserError: there is no list, or one of them is not in it.
    """
    with _connected("the list of packages"):
        listed = {one["name"]: one for one in downloader.get_available_packages(session=session)}
        closed = [name for name in names if name not in listed]
        if closed:
            raise UserError(
                f"{', '.join(closed)}: not open to this Cityscapes account; ask for it at {account.SITE}/downloads, or "
                "leave out what needs it"
            )
        return [
            Offer(name, str(listed[name]["packageID"]), int(downloader.parse_size_to_bytes(listed[name]["size"])))
            for name in names
        ]


def _agree(offers: list[Offer], folder: Path, part: Path, agreed: bool) -> None:
    """Tell the sizes, see that they fit, and ask unless the user has agreed."""
    total = sum(offer.size for offer in offers)
    for offer in offers:
        print(f"Cityscapes: {offer.name}, {volume(offer.size)}", file=sys.stderr)
    # Pictures do not shrink in an archive, and each archive is deleted before the next one comes.
    here = sum(path.stat().st_size for path in part.glob("*.zip*")) if part.is_dir() else 0
    with explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    ensure_space(folder, total + max(offer.size for offer in offers) - here)
    if not agreed:
        ask("Cityscapes", volume(total), folder, "name its folder instead, see docs/datasets.md")


def _bring(offer: Offer, session: requests.Session, part: Path, target: Path) -> None:
    """Download one package and move what it holds to ``target``."""
    archive, digest = _download(offer, session, part / offer.name)
    unpacked = part / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    package = PACKAGES[offer.name]
    wanted = [f"{package.kind}/{name}/*" for name in package.folders]
    unpack(archive, unpacked, include=wanted, checksum=digest)
    for name in package.folders:
        source, place = unpacked / package.kind / name, target / package.kind / name
        if not source.is_dir():
            raise UserError(f"{archive}: holds no {package.kind}/{name}; delete it and run again")
        with explained(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_dir():
                source.rename(place)
    shutil.rmtree(unpacked, ignore_errors=True)
    archive.unlink()


def _download(offer: Offer, session: requests.Session, archive: Path) -> tuple[Path, str | None]:
    """Bring one archive; an interrupted download goes on where it stopped. Returns it and, if known, its SHA-256.

    Raises:
        UserError: the connection fails, the login has ended, or the MD5 sum is not that of the site.
    """
    if archive.is_file():  # it got this name after its sum was checked
        return archive, None
    with _connected(f"the MD5 sum of {offer.name}"):
        answer = session.get(f"{account.SITE}/md5-sum/?packageID={offer.number}", allow_redirects=False)
        answer.raise_for_status()
        expected = re.match(r"[0-9a-f]{32}\b", answer.text.strip().lower())[0]
    with explained(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
    url = f"{account.SITE}/file-handling/?packageID={offer.number}"
    # The sum at the end decides, so bytes are worth keeping even if the site names no version of the file.
    partial = Partial(archive.with_name(f"{offer.name}.part"), url, True, None)
    session.hooks["response"].append(_no_page)
    try:
        if not partial.complete:
            transfer.fetch(url, partial, {}, session)
    finally:
        session.hooks["response"].remove(_no_page)
        partial.tidy()
    digest = partial.hexdigest()
    with open(partial.path, "rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != expected:
        partial.discard()
        raise UserError(
            f"{offer.name}: its MD5 sum is {found}, the site says {expected}: damaged on the way; run again"
        )
    with explained(archive):
        partial.place(archive)
    return archive, digest


def _no_page(response: requests.Response, *_: object, **__: object) -> None:
    """Stop before a page (of the login, say) takes the place of a half archive."""
    page = response.headers.get("Content-Type", "").startswith("text/html")
    if response.is_redirect or (page and response.status_code in (200, 206)):
        raise UserError(f"{account.SITE}: the login has ended; run again, the download goes on where it stopped")


@contextlib.contextmanager
def _connected(what: str) -> Iterator[None]:
    """Turn a failed request or an answer of another form into one line."""
    try:
        yield
    except requests.RequestException as error:
        raise UserError(f"{account.SITE}: {what} cannot be read ({type(error).__name__}); try again later") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{account.SITE}: {what} is not as expected; has the site changed? Use csDownload") from error
