"""Fetching Cityscapes from a server on this machine that stands for its site, through the real downloader."""

import contextlib
import hashlib
import http.server
import io
import json
import sys
import threading
import urllib.parse
import zipfile

import pytest
import requests

from etc.datasets.cityscapes import account
from etc.datasets.cityscapes import download as cityscapes_download
from etc.datasets.cityscapes.cityscapes import Cityscapes
from etc.downloading import transfer
from etc.errors import UserError
from etc.params.cityscapes import CityscapesParams

pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")

REAL_SITE = account.SITE
USER, SECRET = "somebody@example.org", "open-sesame-4711"
FINE, STILL, EXTRA = "gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip", "leftImg8bit_trainextra.zip"


def _archive(kind: str, ending: str, folders=("train", "val", "test")) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("README", "read me")
        for folder, city in zip(folders, ("ulm", "munster", "bonn"), strict=False):
            archive.writestr(f"{kind}/{folder}/{city}/{city}_000000_000019_{ending}", f"{folder} {ending}" * 50)
    return packed.getvalue()


class Site(http.server.ThreadingHTTPServer):
    """The pages that the downloader knows: login, list, MD5 sums, files."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Pages)
        self.files = {
            "1": (FINE, _archive("gtFine", "gtFine_labelIds.png")),
            "3": (STILL, _archive("leftImg8bit", "leftImg8bit.png")),
        }
        self.sizes: dict[str, str] = {}
        self.sums: dict[str, str] = {}
        self.cuts: list[int] = []  # bytes of a file before the connection is cut
        self.logged_out = ""  # or how files are refused then: redirect, page
        self.listing: bytes | None = None
        self.forms: list[dict] = []
        self.served: list[tuple[str, str | None]] = []  # package id and Range of each file request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Pages(http.server.BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802, the name that http.server calls
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in urllib.parse.parse_qs(text).items()}
        self.server.forms.append(form)
        if (form.get("username"), form.get("password"), form.get("submit")) == (USER, SECRET, "Login"):
            self._answer(302, b"", {"Location": "/", "Set-Cookie": "PHPSESSID=cookie-0815; path=/"})
        else:
            self._answer(200, b"<html>wrong</html>", {"Content-Type": "text/html"})

    def do_GET(self):  # noqa: N802
        parts = urllib.parse.urlsplit(self.path)
        number = urllib.parse.parse_qs(parts.query).get("packageID", [""])[0]
        if parts.path == "/login":
            return self._answer(200, b"<html>login</html>", {"Content-Type": "text/html"})
        if "PHPSESSID=cookie-0815" not in self.headers.get("Cookie", ""):
            return self._answer(302, b"", {"Location": "/login"})
        if self.path == "/downloads/?list":
            listed = [
                {"name": name, "packageID": number, "size": self.server.sizes.get(name, "2KB")}
                for number, (name, _) in self.server.files.items()
            ]
            return self._answer(200, self.server.listing or json.dumps(listed).encode())
        name, content = self.server.files[number]
        if parts.path == "/md5-sum/":
            digest = self.server.sums.get(name, hashlib.md5(content).hexdigest())
            return self._answer(200, f"{digest}  {name}\n".encode())
        assert parts.path == "/file-handling/"
        wanted = self.headers.get("Range")
        self.server.served.append((number, wanted))
        if self.server.logged_out == "page":
            return self._answer(200, b"<html>login</html>", {"Content-Type": "text/html; charset=utf-8"})
        if self.server.logged_out:
            return self._answer(302, b"", {"Location": "/login"})
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        head = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if wanted else {}
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self._answer(206 if wanted else 200, content[start:], {"Content-Type": "application/zip", **head}, cut)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[:cut])


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
        monkeypatch.setattr(transfer, "FIRST_DELAY", 0.001)
        for name in ("ETC_OFFLINE", account.USERNAME, account.PASSWORD):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
        monkeypatch.setenv("ETC_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def variables(site, monkeypatch):
    monkeypatch.setenv(account.USERNAME, USER)
    monkeypatch.setenv(account.PASSWORD, SECRET)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _source(**values) -> Cityscapes:
    return Cityscapes("cityscapes", CityscapesParams(sequences=False, **values))


def _files(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _fails(match: str, capsys, **options) -> str:
    """One line, and the account is in it nowhere, nor in what is printed, nor in what it is chained to."""
    with pytest.raises(UserError, match=match) as caught:
        _source(**options.pop("values", {})).fetch(options.pop("agreed", True))
    assert "\n" not in str(caught.value)
    printed, chain, error = capsys.readouterr(), [], caught.value
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    shown = printed.out + printed.err + "".join(f"{one!r}{vars(one)}" for one in chain)
    for secret in (SECRET, USER, "cookie-0815"):
        assert secret not in shown
    return printed.err


def _secrets_on_disk(folder) -> list[str]:
    texts = (SECRET.encode(), USER.encode(), b"cookie-0815")
    return [name for name in _files(folder) if any(text in (folder / name).read_bytes() for text in texts)]


def test_packages_are_fetched_and_listed(site, variables, tmp_path, capsys):
    source = _source()
    folder = source.fetch(True)
    assert folder == tmp_path / "data" / "cityscapes" == source.location.find()
    assert _files(tmp_path / "data") == [
        f"cityscapes/{kind}/{split}/{city}/{city}_000000_000019_{ending}"
        for kind, ending in (("gtFine", "gtFine_labelIds.png"), ("leftImg8bit", "leftImg8bit.png"))
        for split, city in (("test", "bonn"), ("train", "ulm"), ("val", "munster"))
    ]
    assert [frame.split for frame in source.list(folder, tmp_path, 1).frames] == ["train", "test"]
    assert site.served == [("1", None), ("3", None)]
    printed = capsys.readouterr()
    assert f"{FINE}, 2.05kB" in printed.err and f"{STILL}, 2.05kB" in printed.err
    for secret in (SECRET, USER, "cookie-0815"):
        assert secret not in printed.out + printed.err
    assert not _secrets_on_disk(tmp_path)
    # Nothing is due, so nobody is asked.
    assert source.fetch(False) == folder and len(site.forms) == 1


def test_a_package_is_added_to_what_is_there(site, variables, tmp_path):
    folder = _source().fetch(True)
    site.files["4"] = (EXTRA, _archive("leftImg8bit", "leftImg8bit.png", ("train_extra",)))
    assert _source(extra=True).fetch(True) == folder
    assert [number for number, _ in site.served] == ["1", "3", "4"]
    assert "leftImg8bit/train_extra/ulm/ulm_000000_000019_leftImg8bit.png" in _files(folder)
    assert _files(tmp_path / "data") == [f"cityscapes/{name}" for name in _files(folder)]


def test_the_stored_account_of_the_tool_is_used(site, tmp_path, monkeypatch):
    stored = account._stored(account.tool())
    assert stored.is_relative_to(tmp_path)
    stored.parent.mkdir(parents=True)
    stored.write_text(json.dumps({"username": USER, "password": SECRET}))
    _source().fetch(True)
    assert site.forms == [{"username": USER, "password": SECRET, "submit": "Login"}]
    assert _secrets_on_disk(tmp_path) == [stored.relative_to(tmp_path).as_posix()]


def test_a_wrong_password(site, variables, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(account.PASSWORD, "wrong")
    _fails("account is refused; correct CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD$", capsys)
    for name in (account.USERNAME, account.PASSWORD):
        monkeypatch.delenv(name)
    stored = account._stored(account.tool())
    stored.parent.mkdir(parents=True)
    stored.write_text(json.dumps({"username": USER, "password": "wrong"}))
    _fails("account is refused; run csDownload -l", capsys)
    stored.write_text('{"username": "' + USER)
    _fails(r"credentials\.json: not what csDownload stores", capsys)
    assert not site.served and not (tmp_path / "data" / "cityscapes").exists()


def test_an_account_that_is_half_given_or_missing(site, monkeypatch, capsys):
    _fails("no Cityscapes account: run csDownload -l once .* or set CITYSCAPES_USERNAME and CITYSCAPES_PASS", capsys)
    monkeypatch.setenv(account.PASSWORD, SECRET)
    _fails("CITYSCAPES_PASSWORD is set without CITYSCAPES_USERNAME", capsys)
    assert not site.forms


def test_the_tool_asks_on_a_terminal(site, monkeypatch, tmp_path):
    downloader = account.tool()
    monkeypatch.setattr(sys, "stdin", _Terminal("y\n"))
    answers = iter([USER, "n"])
    monkeypatch.setattr(downloader, "input", lambda _: next(answers), raising=False)
    monkeypatch.setattr(downloader.getpass, "getpass", lambda _: SECRET)
    _source().fetch(False)
    assert len(site.served) == 2 and not _secrets_on_disk(tmp_path)


def test_nothing_is_downloaded_without_agreement(site, variables, monkeypatch, capsys, tmp_path):
    _fails(
        r"gtFine_trainvaltest\.zip \(241 MB\) \+ leftImg8bit_trainvaltest\.zip \(11 GB\) would be .* --yes",
        capsys,
        agreed=False,
    )
    assert not site.forms
    monkeypatch.setattr(sys, "stdin", _Terminal("no\n"))
    printed = _fails("not agreed", capsys, agreed=False)
    assert "Download 4.10kB to " in printed and not site.served
    assert _files(tmp_path / "data") == []


def test_a_package_that_the_account_may_not_have(site, variables, capsys):
    _fails(r"leftImg8bit_trainextra\.zip: not open to this Cityscapes account", capsys, values={"extra": True})
    assert not site.served


def test_too_little_space(site, variables, capsys):
    site.sizes[STILL] = "9000000GB"
    _fails("are free: free some space", capsys)
    assert not site.served


@pytest.mark.parametrize("listing", [b"<html>no list</html>", b'[{"title": "x"}]', b'{"error": 1}'])
def test_a_list_of_another_form(site, variables, capsys, listing):
    site.listing = listing
    _fails("the list of packages (is not as expected|cannot be read)", capsys)


def test_an_interrupted_download_goes_on_where_it_stopped(site, variables, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    site.cuts = [100]
    _fails("run again to continue after 100B", capsys)
    assert not (tmp_path / "data" / "cityscapes").exists()
    _source().fetch(True)
    # This site names no version of a file; the MD5 sum decides in the end.
    assert site.served == [("1", None), ("1", "bytes=100-"), ("3", None)]
    assert not list((tmp_path / "data").glob("*.part"))


@pytest.mark.parametrize("answer", ["redirect", "page"])
def test_a_login_that_ends_does_not_cost_what_has_arrived(site, variables, capsys, monkeypatch, answer):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    site.cuts = [100]
    _fails("continue after", capsys)
    site.logged_out = answer
    _fails("the login has ended; run again", capsys)
    site.logged_out = ""
    _source().fetch(True)
    assert site.served[-2:] == [("1", "bytes=100-"), ("3", None)]


def test_damage_is_found_and_the_next_run_starts_over(site, variables, capsys, tmp_path):
    site.sums[STILL] = "0" * 32
    _fails(r"leftImg8bit_trainvaltest\.zip: its MD5 sum is .* damaged", capsys)
    assert not (tmp_path / "data" / "cityscapes").exists()
    site.sums.clear()
    _source().fetch(True)
    # What was complete is not fetched again.
    assert [number for number, _ in site.served] == ["1", "3", "3"]


def test_an_archive_without_its_folders(site, variables, capsys):
    site.files["3"] = (STILL, _archive("leftImg8bit", "leftImg8bit.png", ("train", "val")))
    _fails("holds no leftImg8bit/test", capsys)


def test_a_silent_or_closed_site(site, variables, capsys, monkeypatch):
    monkeypatch.setattr(account, "SITE", "http://127.0.0.1:9")
    monkeypatch.setattr(requests, "Session", requests.sessions.Session)
    _fails("cannot log in", capsys)


def test_offline(site, variables, capsys, monkeypatch):
    monkeypatch.setenv("ETC_OFFLINE", "1")
    _fails("ETC_OFFLINE", capsys)
    assert not site.forms


def test_the_tool_is_not_installed(site, variables, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cityscapesscripts.download.downloader", None)
    _fails("pip install cityscapesscripts$", capsys, agreed=False)


def test_the_request_has_a_time_limit(site, variables):
    session = account.login()
    assert isinstance(session.get_adapter(REAL_SITE), account._Patient)
    assert cityscapes_download.PACKAGES.keys() >= {FINE, STILL, EXTRA}
