import json
import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from tests.sources.cityscapes_site import REAL_SITE, SECRET, USER, Site, Terminal


@pytest.fixture
def site(monkeypatch, tmp_path):
    """The site, and no trace of this machine's own account."""
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        class Session(requests.Session):
            """csDownload names its site in full; here it gets the one on this machine."""

            def request(self, method, url, *arguments, **options):
                assert url.startswith(REAL_SITE), url
                return super().request(method, url.replace(REAL_SITE, server.url), *arguments, **options)

        monkeypatch.setattr(requests, "Session", Session)
        # The archives are small here, but their true sizes are asked for.
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
        monkeypatch.delenv("ETC_OFFLINE", raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("ETC_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(sys, "stdin", Terminal("", terminal=False))
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def stored(site):
    """The account, where csDownload has stored it."""
    from cityscapesscripts.download.downloader import appdirs

    path = Path(appdirs.user_data_dir("cityscapesscripts", "cityscapes")) / "credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"username": USER, "password": SECRET}))
    return path
