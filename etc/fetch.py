"""Fetching over the network: one file, the user's agreement, and a lock between processes.

``requests`` streams the file and the loop of attempts is ours: pooch gives a file its name before the first digits of a
checksum (all that torchvision publishes) can be compared, and ``urllib3.Retry`` does not repeat a body that was cut
off. The lock is that of ``filelock``, which torch installs anyway.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from etc.core.errors import UserError
from etc.core.files import os_errors_in_one_line, sha256
from etc.core.progress import LOG_SECONDS

if TYPE_CHECKING:
    from requests import RequestException

OFFLINE = "ETC_OFFLINE"  # environment variable: 1 = never use the network
ATTEMPTS = 5
PAUSE = 1.0  # seconds after the first failed attempt; doubled after each further one
TIMEOUT = 60.0  # seconds without an answer
SPARE = 100_000_000  # bytes that stay free on the disk
_PASSING = (408, 429, 500, 502, 503, 504)  # statuses after which a server may answer later


def download(url: str, path: str | os.PathLike, checksum: str = "") -> Path:
    """Fetch ``url`` into ``path`` unless it is there already.

    The file takes its name when it is complete and matches. After a broken connection, a busy server or wrong content
    the download starts again from the beginning, ``ATTEMPTS`` times in all. A second process that wants the same file
    waits and uses the result.

    Args:
        url: http(s) address, without secrets: messages name it.
        path: file to write.
        checksum: SHA-256 of the file or its first hex digits. Without one, an existing file is used as it is.

    Returns:
        ``path``.

    Raises:
        UserError: the network is forbidden, the server refuses or leads from https to http, no attempt succeeds, or the
            disk is full.
    """
    path = Path(path)
    if _is_right(path, checksum):
        return path
    require_network(path, f"get {url} on another machine and put it there")
    with locked(path):
        # Another process may have fetched it in the meantime.
        if not _is_right(path, checksum):
            part = path.with_name(f"{path.name}.part")
            try:
                with os_errors_in_one_line(path):
                    _bring(url, part, checksum)
                    os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
    return path


def require_network(path: Path, remedy: str) -> None:
    """Refuse to fetch ``path`` when ``ETC_OFFLINE`` is set and neither ``0``, ``false``, ``no`` nor empty.

    Args:
        path: what is to be fetched.
        remedy: where to get it and where to put it.

    Raises:
        UserError: the network is forbidden.
    """
    if os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no"):
        raise UserError(f"{path}: missing, and {OFFLINE} forbids the network; {remedy}, or unset {OFFLINE}")


def agree(name: str, sizes: Mapping[str, int], folder: Path, agreed: bool, remedy: str) -> None:
    """Print what would be downloaded, and ask on the terminal unless the user has agreed.

    Args:
        name: of the data set.
        sizes: bytes of each item, rounded.
        folder: where the items go.
        agreed: the user has agreed already.
        remedy: what to do instead.

    Raises:
        UserError: the answer is not yes, or there is no terminal to ask on.
    """
    for item, size in sizes.items():
        print(f"{name}: {item}, about {volume(size)}", file=sys.stderr)
    if agreed:
        return
    total = f"about {volume(sum(sizes.values()))}"
    if not sys.stdin.isatty():
        raise UserError(f"{name}: {total} would be downloaded to {folder}; agree with --yes, or on a terminal")
    print(f"Download {total} to {folder}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError(f"{name}: not agreed, so nothing is downloaded; {remedy}")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder that is about to be written; wait while another process holds it.

    The lock is the file ``.NAME.lock`` beside it, which stays. The system releases it when its process dies.
    """
    with os_errors_in_one_line(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{path}: waiting for another process that makes it", file=sys.stderr)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def ensure_space(path: Path, count: int) -> None:
    """Make sure that ``count`` more bytes fit beside ``path``, in a folder that exists.

    Raises:
        UserError: they do not fit.
    """
    free = shutil.disk_usage(path.parent).free
    if count + SPARE > free:
        raise UserError(
            f"{path}: needs {volume(count)} plus {volume(SPARE)} in reserve, but only {volume(free)} is free: free "
            "some space and run again, or use a folder on another disk"
        )


def volume(count: int) -> str:
    """A number of bytes for people: ``11.2 GB``."""
    unit, size = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6)
    return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"


class ByteBar(tqdm):
    """Progress in bytes: a bar on a terminal, a line now and then in a log."""

    def __init__(self, **options: Any):
        options |= {"unit": "B", "unit_scale": True, "miniters": 1}
        if sys.stderr.isatty():
            options |= {"dynamic_ncols": True}
        else:
            options |= {"mininterval": LOG_SECONDS, "delay": LOG_SECONDS, "leave": False, "ncols": 100}
        super().__init__(**options)

    @staticmethod
    def status_printer(file: Any) -> Any:
        """tqdm's printer of a line: in a log each one stays."""
        if file.isatty():
            return tqdm.status_printer(file)
        return lambda line: print(line, file=file, flush=True) if line else None


def _is_right(path: Path, checksum: str) -> bool:
    return path.is_file() and (not checksum or sha256(path).startswith(checksum.lower()))


def _bring(url: str, part: Path, checksum: str) -> None:
    """Download ``part`` and compare its checksum, until it is right or the attempts end."""
    # It takes a tenth of a second to import, which an existing file does not need.
    import requests

    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            print(f"{url}: {reason}; attempt {attempt + 1} of {ATTEMPTS}", file=sys.stderr)
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            with requests.get(url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}) as answer:
                if url.lower().startswith("https:") and not all(
                    one.url.startswith("https:") for one in (*answer.history, answer)
                ):
                    raise UserError(f"{url}: leads to an address without encryption; is the address still right?")
                answer.raise_for_status()
                length = answer.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() else 0
                ensure_space(part, total)
                with open(part, "wb") as sink, ByteBar(total=total or None, desc=part.stem) as bar:
                    for block in answer.iter_content(1 << 20):
                        bar.update(sink.write(block))
        except requests.RequestException as error:
            reason = _reason(url, error)
        else:
            digest = sha256(part)
            if digest.startswith(checksum.lower()):
                return
            reason = f"its SHA-256 is {digest}, expected {checksum}…"
    raise UserError(f"{url}: {reason}, {ATTEMPTS} attempts; run again later, or put the file at {part.with_suffix('')}")


def _reason(url: str, error: "RequestException") -> str:
    """Why an attempt failed; the address of a redirect, which may hold a secret, is not in it.

    Raises:
        UserError: further attempts would fail as well.
    """
    status = getattr(error.response, "status_code", None)
    reason = f"{status} {error.response.reason}" if status else type(error).__name__
    # requests raises a ValueError for an address that it cannot use.
    if isinstance(error, ValueError) or (status and status not in _PASSING):
        raise UserError(f"{url}: {reason}; is the address still right?")
    return reason
