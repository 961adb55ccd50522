"""Bringing the missing bytes of a file: requests, redirects, and what each answer means for the bytes at hand."""

import re
import sys
from collections.abc import Mapping

import requests
import urllib3
from requests.utils import get_auth_from_url, urldefragauth

from etc.core.errors import UserError
from etc.downloading import addresses, attempts
from etc.downloading.addresses import shown
from etc.downloading.attempts import PassingError
from etc.downloading.meter import track_bytes, volume
from etc.downloading.partial import Partial
from etc.downloading.space import ensure_space

STALL = 30.0  # seconds without a byte
_REDIRECTS = 10
_BLOCK = 1 << 20
_REMEDY = "get it elsewhere and give its path"


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
        attempts.repeat(
            shown(url),
            lambda: _attempt(url, partial, client),
            lambda reason: _last_words(url, partial, reason),
            lambda: partial.size,
        )


def _last_words(url: str, partial: Partial, reason: str) -> str:
    kept = f"; run again to continue after {volume(partial.size)}" if partial.size else "; try again later"
    return f"{shown(url)}: cannot be downloaded ({reason}){kept}, or {_REMEDY}"


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
        raise PassingError(_cut(partial))


def _cut(partial: Partial) -> str:
    return f"the connection was cut after {partial.size} of {partial.total or 'unknown'} bytes"


def _check_status(url: str, response: requests.Response) -> None:
    code = response.status_code
    if code == 200:
        return
    phrase = attempts.status(response)
    login = ": it wants a login or an agreement" if code in (401, 403, 407) else ""
    raise UserError(f"{shown(url)}: cannot be downloaded ({phrase}{login}); {_REMEDY}")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and length of the whole of ``bytes 5-9/10`` or ``bytes */10``."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", response.headers.get("Content-Range", "").strip())
    first, total = found.groups() if found else (None, None)
    return first and int(first), total and int(total)


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and "Transfer-Encoding" not in response.headers else None


def _explained(url: str, partial: Partial, error: Exception) -> Exception:
    """What to raise for a failure of the connection."""
    final = f"{shown(url)}: cannot be downloaded ({type(error).__name__}); correct the address or headers"
    return attempts.explained(shown(url), error, STALL, _cut(partial), _REMEDY) or UserError(final)
