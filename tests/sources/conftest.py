import io
import sys
import threading

import pytest
import requests

from etc.downloading import attempts
from etc.sources.cityscapes import account
from tests.sources.cityscapes_site import SECRET, USER, Site

REAL_SITE = account.SITE


@pytest.fixture
def site(monkeypatch, tmp_path):
    """The site, and no trace of this machine's own account."""
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        class Session(requests.Session):
            """The downloader names its site in full; here it gets the one on this machine."""

            def request(self, method, url, *arguments, **options):
                assert url.startswith((REAL_SITE, server.url)), url
                return super().request(method, url.replace(REAL_SITE, server.url), *arguments, **options)

        monkeypatch.setattr(requests, "Session", Session)
        monkeypatch.setattr(account, "SITE", server.url)
        monkeypatch.setattr(attempts, "FIRST_DELAY", 0.001)
        for name in ("ETC_OFFLINE", account.USERNAME, account.PASSWORD):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
        monkeypatch.setenv("ETC_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def variables(site, monkeypatch):
    monkeypatch.setenv(account.USERNAME, USER)
    monkeypatch.setenv(account.PASSWORD, SECRET)
