"""Sessions for the pages of cityscapes-dataset.com: none waits for ever, none gives up because a server is busy."""

import requests
import urllib3
from requests.adapters import HTTPAdapter

from etc.downloading import attempts
from etc.downloading.addresses import shown

TIMEOUT = 60.0  # seconds without an answer


def patient() -> requests.Session:
    """A session that repeats a request whose failure may pass, with a pause before each further attempt.

    A request raises ``UserError`` when the last attempt has failed; any other answer is the caller's to judge. Files
    (``stream=True``) are left to ``etc.downloading.transfer``, which counts attempts by the bytes that arrive.
    """
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Patient())
    return session


class _Patient(HTTPAdapter):
    """An adapter, not a session, repeats: csDownload's functions and ours then ask in the same way."""

    def send(self, request: requests.PreparedRequest, *args: object, **options: object) -> requests.Response:
        options["timeout"] = options.get("timeout") or TIMEOUT
        if options.get("stream"):
            return super().send(request, *args, **options)
        name = shown(request.url)
        return attempts.repeat(
            name,
            lambda: self._ask(request, *args, **options),
            lambda reason: f"{name}: cannot be reached ({reason}); run again later, what has arrived stays",
        )

    def _ask(self, request: requests.PreparedRequest, *args: object, **options: object) -> requests.Response:
        trouble: Exception
        try:
            response = super().send(request, *args, **options)
            _ = response.content  # read here, so that a connection that is cut counts as a failed attempt
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            remedy = "set the clock of this machine right, or try another network"
            cut = "the connection was cut"
            trouble = attempts.explained(shown(request.url), error, options["timeout"], cut, remedy) or error
        else:
            attempts.status(response)
            return response
        # Not raised where it was caught: the libraries' error holds the request, and that the password.
        raise trouble
