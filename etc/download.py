"""Downloading a file whose checksum is known beforehand."""

import hashlib
import http.client
import os
import sys
import urllib.request
from pathlib import Path

from etc.errors import UserError
from etc.files import atomic

_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer
_DIGITS = 8  # fewer would let a damaged file pass too easily


def cache_folder() -> Path:
    """Where downloaded files are kept between projects: ``$XDG_CACHE_HOME/etc-segmentation`` or ``~/.cache/…``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "etc-segmentation"


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, 64 hex digits.

    Raises:
        UserError: the file is missing.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path}: no such file; give the path of an existing one") from error


def download(url: str, path: Path, checksum: str) -> Path:
    """Fetch ``url`` into ``path`` unless it is there already; nothing appears under ``path`` that does not match.

    Args:
        url: http(s) address.
        path: file to write.
        checksum: the SHA-256 or its first hex digits, at least 8.

    Returns:
        ``path``.

    Raises:
        UserError: no answer, an error from the server, or content of another checksum.
    """
    if len(checksum) < _DIGITS:
        raise UserError(f"{url}: a checksum of {len(checksum)} hex digits is too short; give at least {_DIGITS}")
    if path.is_file() and sha256(path).startswith(checksum.lower()):
        return path
    print(f"downloading {url}", file=sys.stderr)
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, atomic(path) as stream:
            while block := response.read(_BLOCK):
                digest.update(block)
                stream.write(block)
            if not digest.hexdigest().startswith(checksum.lower()):
                raise UserError(
                    f"{url}: its SHA-256 is {digest.hexdigest()}, expected {checksum}…: damaged on the way or another "
                    "file; try again, or get it elsewhere and give its path"
                )
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(f"{url}: cannot be downloaded ({error}); get it elsewhere and give its path") from error
    return path
