"""Further attempts when a server is busy or a connection breaks: which failures may pass, and how long to wait."""

import random
import ssl
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import requests
import urllib3

from etc.core.errors import UserError

ATTEMPTS = 5  # in a row without progress
FIRST_DELAY = 1.0  # seconds; each further one is twice as long
LONGEST_DELAY = 60.0
LONGEST_REQUESTED = 600.0  # a server that asks to wait longer than this ends the attempts
_PASSING = (408, 429, 500, 502, 503, 504)

Result = TypeVar("Result")


class PassingError(Exception):
    """A failure that may be over at the next attempt. ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def repeat(
    name: str,
    attempt: Callable[[], Result],
    last_words: Callable[[str], str],
    progress: Callable[[], int] = lambda: 0,
) -> Result:
    """Call ``attempt`` until it ends otherwise than with a ``PassingError``.

    Args:
        name: what is asked, to be printed with each failure; without secrets.
        attempt: one try.
        last_words: the message when the attempts end, made of why they end.
        progress: how far the attempts have come, in any unit. Where one gets beyond all earlier ones, the count starts
            again.

    Raises:
        UserError: the last of the attempts failed, or the server asks to wait too long.
    """
    failures, furthest = 0, progress()
    while True:
        try:
            return attempt()
        except PassingError as failure:
            reached = progress()
            # Repeated progress does not count: a server that always starts over must not go on forever.
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            too_long = failure.wait > LONGEST_REQUESTED
            if failures >= ATTEMPTS or too_long:
                waiting = f", asks to wait {failure.wait:.0f} s" if too_long else ""
                tried = f"{failures} attempts" if failures > 1 else "1 attempt"
                raise UserError(last_words(f"{failure}{waiting}; {tried}")) from failure
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
            delay = max(delay, failure.wait)
            print(f"{name}: {failure}; attempt {failures + 1} of {ATTEMPTS} in {delay:.0f} s", file=sys.stderr)
            time.sleep(delay)


def status(response: requests.Response) -> str:
    """The status of an answer, in words.

    Raises:
        PassingError: it is one that may be over soon.
    """
    code = response.status_code
    # The standard's words, not the server's: those may hold anything.
    phrase = f"{code} {HTTPStatus(code).phrase}" if code in HTTPStatus._value2member_map_ else f"status {code}"
    if code in _PASSING:
        raise PassingError(phrase, _requested(response.headers.get("Retry-After")))
    return phrase


def explained(name: str, error: Exception, silence: float, cut: str, remedy: str) -> Exception | None:
    """What to raise for a failure of the connection; None when it is neither passing nor a matter of certificates.

    The libraries' own words quote the query, so none is repeated.

    Args:
        name: what was asked, without secrets.
        error: what requests or urllib3 raised.
        silence: seconds after which a request is given up.
        cut: words for a connection that ends too early.
        remedy: what to do about a certificate.
    """
    chain = []
    inner: object = error
    while isinstance(inner, BaseException) and inner not in chain:
        chain.append(inner)
        quoted = [inner.__cause__, inner.__context__, getattr(inner, "reason", None), *inner.args]
        inner = next((one for one in quoted if isinstance(one, BaseException) and one not in chain), None)
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return UserError(f"{name}: its certificate is not valid ({one.verify_message}); {remedy}")
    system = [one.strerror for one in chain if isinstance(one, OSError) and isinstance(one.strerror, str)]
    if not system and any(isinstance(one, requests.Timeout | urllib3.exceptions.TimeoutError) for one in chain):
        return PassingError(f"no answer for {silence:g} s")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError) or not isinstance(
        error, requests.RequestException
    ):
        return PassingError(system[-1] if system else cut)
    return None


def _requested(retry_after: str | None) -> float:
    """Seconds of a Retry-After, which is a number or a date; 0 without one."""
    try:
        return urllib3.Retry().parse_retry_after(retry_after) if retry_after else 0.0
    except urllib3.exceptions.InvalidHeader:
        return 0.0
