"""A server on this machine that stands for the site of Cityscapes, asked by the real csDownload."""

import contextlib
import hashlib
import http.server
import io
import json
import threading
import urllib.parse
import zipfile

REAL_SITE = "https://www.cityscapes-dataset.com"
USER, SECRET, COOKIE = "somebody@example.org", "open-sesame-4711", "cookie-0815"
FINE, STILL, EXTRA = "gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip", "leftImg8bit_trainextra.zip"


class Terminal(io.StringIO):
    """Standard input with answers, from a terminal or not."""

    def __init__(self, answers: str, terminal: bool = True):
        super().__init__(answers)
        self.isatty = lambda: terminal


def package(kind: str, ending: str, folders=("train", "val", "test")) -> bytes:
    """An archive with a frame in each folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("README", "read me")
        for folder, city in zip(folders, ("ulm", "munster", "bonn"), strict=False):
            archive.writestr(f"{kind}/{folder}/{city}/{city}_000000_000019_{ending}", f"{folder} {ending}" * 50)
    return packed.getvalue()


class Site(http.server.ThreadingHTTPServer):
    """The pages that csDownload knows: login, list, MD5 sums, files."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Pages)
        self.files = {
            "1": (FINE, package("gtFine", "gtFine_labelIds.png")),
            "3": (STILL, package("leftImg8bit", "leftImg8bit.png")),
        }
        self.sums: dict[str, str] = {}  # of archives, in place of the right ones
        self.cuts: list[int] = []  # bytes of a file before the connection is cut
        self.broken = ""  # a path that answers 503
        self.silent = ""  # a path that answers nothing
        self.gate = threading.Event()  # files wait for it
        self.gate.set()
        self.over = threading.Event()
        self.asked: list[str] = []  # paths
        self.served: list[tuple[str, str | None]] = []  # package id and Range of each file request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Pages(http.server.BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802, the name that http.server calls
        self.server.asked.append("POST /login")
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in urllib.parse.parse_qs(text).items()}
        if (form.get("username"), form.get("password"), form.get("submit")) == (USER, SECRET, "Login"):
            self._answer(302, b"", {"Location": "/", "Set-Cookie": f"PHPSESSID={COOKIE}; path=/"})
        else:
            self._answer(200, b"<html>wrong</html>", {"Content-Type": "text/html"})

    def do_GET(self):  # noqa: N802
        site = self.server
        parts = urllib.parse.urlsplit(self.path)
        number = urllib.parse.parse_qs(parts.query).get("packageID", [""])[0]
        site.asked.append(parts.path)
        if parts.path == site.silent:
            return site.over.wait(20)
        if parts.path == site.broken:
            return self._answer(503, b"<html>busy</html>")
        if parts.path == "/login":
            return self._answer(200, b"<html>login</html>", {"Content-Type": "text/html"})
        if f"PHPSESSID={COOKIE}" not in self.headers.get("Cookie", ""):
            return self._answer(302, b"", {"Location": "/login"})
        if self.path == "/downloads/?list":
            listed = [{"name": name, "packageID": one, "size": "2KB"} for one, (name, _) in site.files.items()]
            return self._answer(200, json.dumps(listed).encode())
        name, content = site.files[number]
        if parts.path == "/md5-sum/":
            return self._answer(200, f"{site.sums.get(name, hashlib.md5(content).hexdigest())}  {name}\n".encode())
        assert parts.path == "/file-handling/"
        wanted = self.headers.get("Range")
        site.served.append((number, wanted))
        site.gate.wait(60)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(content) > 0:
            return self._answer(416, b"")
        cut = site.cuts.pop(0) if site.cuts else None
        return self._answer(206 if wanted else 200, content[start:], cut=cut)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[:cut])
