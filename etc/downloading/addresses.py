"""Addresses of the web: how they are printed, which belong together, and where a redirect may lead."""

import re
from urllib.parse import urljoin

from urllib3.util import parse_url

from etc.core.errors import UserError

_PORTS = {"http": 80, "https": 443}


def shown(url: str) -> str:
    """``url`` without user, password, query and fragment, on one line: what may be printed and stored."""
    bare = re.sub(r"[\x00-\x20\x7f]", "", re.split(r"[?#]", url, maxsplit=1)[0])
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:)?(//)?[^/]*@", r"\1\2", bare)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port.

    Raises:
        UserError: it is no http(s) address.
    """
    try:
        # The parser that requests uses: two that disagree on an odd address would send a password to the wrong host.
        parts = parse_url(url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in _PORTS or not parts.host:
        raise UserError(f"{shown(url)}: not an http(s) address; give one like https://host/file")
    return parts.scheme, parts.host, parts.port or _PORTS[parts.scheme]


def same_owner(home: tuple[str, str, int], url: str) -> bool:
    """Whether what was meant for ``home`` may be told to ``url``: the same origin, or its step from http to https."""
    there = origin(url)
    return there == home or (home[0::2] == ("http", 80) and there == ("https", home[1], 443))


def redirected(url: str, target: str) -> str:
    """The address that ``url`` leads to.

    Raises:
        UserError: it leads from https to http, or to no http(s) address.
    """
    following = urljoin(url, target)
    try:
        schemes = origin(url)[0], origin(following)[0]
    except UserError as error:
        raise UserError(f"{shown(url)}: redirects to {error}") from error
    if schemes == ("https", "http"):
        raise UserError(
            f"{shown(url)}: redirects from https to {shown(following)}, where anyone on the way could change the "
            "file; get it elsewhere and give its path"
        )
    return following
