"""Downloading a file: verified, continued after an interruption, and never half there."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from etc.core.errors import UserError
from etc.core.files import explained, sha256
from etc.downloading.locks import locked

if TYPE_CHECKING:
    from requests import Session

    from etc.downloading.partial import Partial

OFFLINE = "ETC_OFFLINE"  # environment variable: 1 = never ask the network
_DIGITS = 8  # fewer would let a damaged file pass too easily


def is_offline() -> bool:
    """Whether ``ETC_OFFLINE`` forbids the network: it is set, and neither ``0``, ``false``, ``no`` nor empty."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no")


def hex_digits(checksum: str, name: str) -> str:
    """A SHA-256 or its first hex digits, at least 8, in lower case.

    Args:
        checksum: as the user has it.
        name: what it belongs to, for the message.

    Raises:
        UserError: too short, too long, or not hexadecimal.
    """
    if len(checksum) < _DIGITS:
        raise UserError(f"{name}: a checksum of {len(checksum)} hex digits is too short; give at least {_DIGITS}")
    if not re.fullmatch("[0-9a-f]{1,64}", checksum.lower()):
        raise UserError(f"{name}: {checksum!r} is no SHA-256; give its up to 64 hex digits")
    return checksum.lower()


def download(
    url: str,
    path: str | os.PathLike,
    checksum: str | None = None,
    *,
    size: int | None = None,
    offline: bool | None = None,
    headers: Mapping[str, str] | None = None,
    session: "Session | None" = None,
) -> Path:
    """Fetch ``url`` into ``path`` unless it is there already; nothing appears under ``path`` that does not match.

    A file that is there and matches is used without a connection, and so is any file when neither checksum nor size is
    given. One that does not match stays until the right one takes its place. Broken connections and busy servers are
    tried again (see ``etc.downloading.attempts``). What has arrived stays in ``NAME.part`` (with ``NAME.part.json``)
    when the download fails or is killed; the next call continues it if the server can and the file is still the
    same. A second process that wants the same path waits and uses the result.

    Args:
        url: http(s) address. It may hold user and password; ``~/.netrc`` and the proxy variables are honoured too.
        path: file to write.
        checksum: the SHA-256 or its first hex digits, at least 8.
        size: bytes of the file.
        offline: never ask the network; None = as the environment variable ``ETC_OFFLINE`` says.
        headers: further lines of the request, such as ``Authorization``; they go to the host of ``url`` only.
        session: a ``requests.Session`` that has logged in; its cookies and headers go to the host of ``url`` only.

    Returns:
        ``path``.

    Raises:
        UserError: no answer, an error from the server, content of another size or checksum, no space, or offline. No
            message holds a password, the query of an address, or a header.
    """
    # requests takes a tenth of a second to import; whoever has the file already does not need it.
    from etc.downloading.addresses import origin, shown
    from etc.downloading.partial import Partial

    path = Path(path)
    digits = None if checksum is None else hex_digits(checksum, shown(url))
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a file; give the path of the file to write")
    if _matches(path, digits, size):
        return path
    if is_offline() if offline is None else offline:
        raise UserError(_offline(shown(url), path, digits, size))
    origin(url)
    with locked(path):
        if _matches(path, digits, size):
            return path
        part = Partial(path.with_name(f"{path.name}.part"), url, digits is not None, size)
        try:
            _bring(url, part, digits, headers or {}, session)
            with explained(path):
                part.place(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); use another folder") from error
        finally:
            part.tidy()
    return path


def _bring(
    url: str, part: "Partial", digits: str | None, headers: Mapping[str, str], session: "Session | None"
) -> None:
    """Complete and verify ``part``."""
    from etc.downloading import transfer
    from etc.downloading.addresses import shown

    while True:
        if not part.complete:
            transfer.fetch(url, part, headers, session)
        digest, resumed = part.hexdigest(), part.resumed
        if digits is None or digest.startswith(digits):
            return
        part.discard()
        # The earlier bytes may have been of another version: only a file that came in one piece is judged.
        if not resumed:
            raise UserError(
                f"{shown(url)}: its SHA-256 is {digest}, expected {digits}…: damaged on the way or another file; "
                "try again, or get it elsewhere and give its path"
            )


def _matches(path: Path, digits: str | None, size: int | None) -> bool:
    if not path.is_file() or (size is not None and path.stat().st_size != size):
        return False
    return digits is None or sha256(path).startswith(digits)


def _offline(name: str, path: Path, digits: str | None, size: int | None) -> str:
    known = [f"{size} bytes"] if size is not None else []
    known += [f"SHA-256 {digits}{'…' if len(digits) < 64 else ''}"] if digits is not None else []
    state = "is not the right file" if path.exists() else "is missing"
    details = f" ({', '.join(known)})" if known else ""
    return (
        f"{path}: {state}, and there shall be no connection; get {name}{details} on another machine and put it at "
        f"{path.absolute()}, or allow connections: unset {OFFLINE}"
    )
