"""Bringing the missing bytes of a file: requests, redirects, and further attempts when one fails."""

import random
import re
import ssl
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus

import requests
import urllib3
from requests.utils import get_auth_from_url, urldefragauth

from etc.downloading import addresses
from etc.downloading.addresses import shown
from etc.downloading.meter import track_bytes, volume
from etc.downloading.partial import Partial
from etc.downloading.space import ensure_space
from etc.errors import UserError

ATTEMPTS = 5  # in a row without a single new byte
FIRST_DELAY = 1.0  # seconds; each further one is twice as long
LONGEST_DELAY = 60.0
LONGEST_REQUESTED = 600.0  # a server that asks to wait longer than this ends the attempts
STALL = 30.0  # seconds without a byte
_REDIRECTS = 10
_BLOCK = 1 << 20
_PASSING = (408, 429, 500, 502, 503, 504)
_REMEDY = "get it elsewhere and give its path"


class _PassingError(Exception):
    """A failure that may be over at the next attempt. ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _Client:
    """GET with redirects. Headers, cookies and passwords go to the host of ``url`` and to no other."""

    def __init__(self, url: str, headers: Mapping[str, str], session: requests.Session | None):
        self._home = addresses.origin(url)
        self._start = urldefragauth(url)
        self._auth = get_auth_from_url(url) if urllib3.util.parse_url(url).auth else None
        self._headers = dict(headers)
        self._own = session or requests.Session()
        self._borrowed = session is not None
        # A session of its own for all the other hosts: of the caller's it has the trust and the way out, no secrets.
        self._other = requests.Session()
        self._other.verify, self._other.proxies = self._own.verify, self._own.proxies
        self._other.trust_env = self._own.trust_env

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._other.close()
        if not self._borrowed:
            self._own.close()

    def get(self, extra: Mapping[str, str]) -> requests.Response:
        """The last answer of the chain; its body is still to be read."""
        url = self._start
        for _ in range(_REDIRECTS + 1):
            home = addresses.same_owner(self._home, url)
            session = self._own if home else self._other
            response = session.get(
                url,
                # The bytes as they are: a packed transfer has another length and cannot be continued.
                headers={**(self._headers if home else {}), "Accept-Encoding": "identity", **extra},
                auth=self._auth if home else None,
                stream=True,
                timeout=STALL,
                allow_redirects=False,
            )
            target = session.get_redirect_target(response)
            if not target:
                return response
            response.close()
            url = addresses.redirected(url, target)
        raise UserError(f"{shown(self._start)}: more than {_REDIRECTS} redirects; {_REMEDY}")


def fetch(url: str, partial: Partial, headers: Mapping[str, str], session: requests.Session | None) -> None:
    """Bring every byte that ``partial`` lacks.

    Raises:
        UserError: the last of several attempts failed, the server refuses, the file has another size than
            ``partial.total``, or the disk is full. What has arrived stays in ``partial``.
    """
    with _Client(url, headers, session) as client:
        failures, furthest = 0, partial.size
        while True:
            try:
                return _attempt(url, partial, client)
            except _PassingError as failure:
                # Only bytes beyond all earlier attempts count: a server that always starts over must not go on forever.
                failures = 1 if partial.size > furthest else failures + 1
                furthest = max(furthest, partial.size)
                if failures >= ATTEMPTS or failure.wait > LONGEST_REQUESTED:
                    raise UserError(_last_words(url, partial, failure, failures)) from failure
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
                delay = max(delay, failure.wait)
                print(
                    f"{shown(url)}: {failure}; attempt {failures + 1} of {ATTEMPTS} in {delay:.0f} s", file=sys.stderr
                )
                time.sleep(delay)


def _last_words(url: str, partial: Partial, failure: _PassingError, failures: int) -> str:
    tried = f"{failures} attempts" if failures > 1 else "1 attempt"
    waiting = f", asks to wait {failure.wait:.0f} s" if failure.wait > LONGEST_REQUESTED else ""
    kept = f"; run again to continue after {volume(partial.size)}" if partial.size else "; try again later"
    return f"{shown(url)}: cannot be downloaded ({failure}{waiting}; {tried}){kept}, or {_REMEDY}"


def _attempt(url: str, partial: Partial, client: _Client) -> None:
    extra = {}
    if partial.size:
        extra["Range"] = f"bytes={partial.size}-"
        if partial.version:
            extra["If-Range"] = partial.version
    try:
        with client.get(extra) as response:
            if response.status_code == 416 and extra:
                if _content_range(response)[1] == partial.size:
                    return
                partial.discard()
            elif response.status_code == 206 and extra:
                start, total = _content_range(response)
                if start == partial.size and partial.is_of(response.headers.get("ETag", ""), total):
                    return _receive(url, partial, response)
                partial.discard()
            else:
                _check_status(url, response)
                total = _length(response)
                if None not in (total, partial.expected) and total != partial.expected:
                    raise UserError(
                        f"{shown(url)}: the server has {total} bytes, expected {partial.expected}: another version, "
                        f"or a page in its place; {_REMEDY}"
                    )
                partial.start(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""), total)
                return _receive(url, partial, response)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _explained(url, partial, error) from error
    # Nothing is left to continue, so this one asks for the whole file.
    _attempt(url, partial, client)


def _receive(url: str, partial: Partial, response: requests.Response) -> None:
    """Append the body; a failed write passes as what it is, not as a fault of the connection."""
    total = partial.total
    if total is not None:
        ensure_space(partial.path, total - partial.size)
    already = f", {volume(partial.size)} of it already here" if partial.size else ""
    print(f"downloading {shown(url)}: {'size unknown' if total is None else volume(total)}{already}", file=sys.stderr)
    label = partial.path.name.removesuffix(".part")
    with partial.appending() as append, track_bytes(total, label, partial.size) as show:
        # What has come, however little: nothing is lost when the connection is cut.
        while block := response.raw.read1(_BLOCK, decode_content=False):
            append(block)
            show(partial.size)
            if total is not None and partial.size > total:
                break
    if total is not None and partial.size > total:
        partial.discard()
        raise UserError(f"{shown(url)}: more than the expected {total} bytes; {_REMEDY}")
    if total is not None and partial.size < total:
        raise _PassingError(_cut(partial))


def _cut(partial: Partial) -> str:
    return f"the connection was cut after {partial.size} of {partial.total or 'unknown'} bytes"


def _check_status(url: str, response: requests.Response) -> None:
    code = response.status_code
    if code == 200:
        return
    # The standard's words, not the server's: those may hold anything.
    phrase = f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else f"status {code}"
    if code in _PASSING:
        raise _PassingError(phrase, _requested(response.headers.get("Retry-After")))
    login = ": it wants a login or an agreement" if code in (401, 403, 407) else ""
    raise UserError(f"{shown(url)}: cannot be downloaded ({phrase}{login}); {_REMEDY}")


def _requested(retry_after: str | None) -> float:
    """Seconds of a Retry-After, which is a number or a date; 0 without one."""
    try:
        return urllib3.Retry().parse_retry_after(retry_after) if retry_after else 0.0
    except urllib3.exceptions.InvalidHeader:
        return 0.0


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and length of the whole of ``bytes 5-9/10`` or ``bytes */10``."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", response.headers.get("Content-Range", "").strip())
    first, total = found.groups() if found else (None, None)
    return first and int(first), total and int(total)


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and "Transfer-Encoding" not in response.headers else None


def _explained(url: str, partial: Partial, error: Exception) -> Exception:
    """What to raise for a failure of the connection. The libraries' own words quote the query, so none is repeated."""
    chain = []
    inner: object = error
    while isinstance(inner, BaseException) and inner not in chain:
        chain.append(inner)
        quoted = [inner.__cause__, inner.__context__, getattr(inner, "reason", None), *inner.args]
        inner = next((one for one in quoted if isinstance(one, BaseException) and one not in chain), None)
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return UserError(f"{shown(url)}: its certificate is not valid ({one.verify_message}); {_REMEDY}")
    system = [one.strerror for one in chain if isinstance(one, OSError) and isinstance(one.strerror, str)]
    if not system and any(isinstance(one, requests.Timeout | urllib3.exceptions.TimeoutError) for one in chain):
        return _PassingError(f"no answer for {STALL:g} s")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError) or not isinstance(
        error, requests.RequestException
    ):
        return _PassingError(system[-1] if system else _cut(partial))
    return UserError(f"{shown(url)}: cannot be downloaded ({type(error).__name__}); correct the address or headers")
