"""A server on this machine that stands for the site of Cityscapes."""

import contextlib
import hashlib
import http.server
import io
import json
import threading
import urllib.parse
import zipfile

import pytest

from etc.core.errors import UserError
from etc.sources.cityscapes.cityscapes import Cityscapes
from etc.sources.cityscapes.params import CityscapesParams

USER, SECRET = "somebody@example.org", "open-sesame-4711"
FINE, STILL, EXTRA = "gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip", "leftImg8bit_trainextra.zip"


def package(kind: str, ending: str, folders=("train", "val", "test")) -> bytes:
    """An archive with a frame in each folder."""
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
            "1": (FINE, package("gtFine", "gtFine_labelIds.png")),
            "3": (STILL, package("leftImg8bit", "leftImg8bit.png")),
        }
        self.sizes: dict[str, str] = {}
        self.sums: dict[str, str] = {}
        self.cuts: list[int] = []  # bytes of a file before the connection is cut
        self.logged_out = ""  # or how files are refused then: redirect, page
        self.listing: bytes | None = None
        # "GET /path" to statuses of its next requests; 0: answered.
        self.busy: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.always_busy = ""  # "GET /path" that is never answered
        self.silent = ""  # "GET /path" that waits for the end
        self.over = threading.Event()
        self.cut_pages: dict[str, list[int]] = {}  # "GET /path" to bytes of its answer before the connection is cut
        self.gate = threading.Event()  # files wait for it
        self.gate.set()
        self.asked: list[str] = []  # "GET /path" of every request
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
        if self._is_busy():
            return
        if (form.get("username"), form.get("password"), form.get("submit")) == (USER, SECRET, "Login"):
            self._answer(302, b"", {"Location": "/", "Set-Cookie": "PHPSESSID=cookie-0815; path=/"})
        else:
            self._answer(200, b"<html>wrong</html>", {"Content-Type": "text/html"})

    def do_GET(self):  # noqa: N802
        if self._is_busy():
            return None
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
        self.server.gate.wait(60)
        if self.server.logged_out == "page":
            return self._answer(200, b"<html>login</html>", {"Content-Type": "text/html; charset=utf-8"})
        if self.server.logged_out:
            return self._answer(302, b"", {"Location": "/login"})
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        head = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if wanted else {}
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self._answer(206 if wanted else 200, content[start:], {"Content-Type": "application/zip", **head}, cut)

    def _is_busy(self) -> bool:
        """Note the request, and answer it with a failure where one is due."""
        asked = f"{self.command} {urllib.parse.urlsplit(self.path).path}"
        self.server.asked.append(asked)
        due = self.server.busy.get(asked)
        status, headers = due.pop(0) if due else (0, {})
        if status:
            self._answer(status, b"<html>busy</html>", headers)
        elif asked == self.server.always_busy:
            self._answer(503, b"<html>busy</html>")
        elif asked == self.server.silent:
            self.server.over.wait(20)
        elif self.server.cut_pages.get(asked):
            self._answer(200, b"<html>busy</html>", cut=self.server.cut_pages[asked].pop(0))
        else:
            return False
        return True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[:cut])


def source(**values) -> Cityscapes:
    """The annotated frames only, as ``values`` say."""
    return Cityscapes("cityscapes", CityscapesParams(sequences=False, **values))


def files(folder) -> list[str]:
    """Paths of all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fails(match: str, capsys, **options) -> str:
    """One line, and the account is in it nowhere, nor in what is printed, nor in what it is chained to."""
    with pytest.raises(UserError, match=match) as caught:
        source(**options.pop("values", {})).fetch(options.pop("agreed", True))
    assert "\n" not in str(caught.value)
    printed, chain, error = capsys.readouterr(), [], caught.value
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    shown = printed.out + printed.err + "".join(f"{one!r}{vars(one)}" for one in chain)
    for secret in (SECRET, USER, "cookie-0815"):
        assert secret not in shown
    return printed.err
