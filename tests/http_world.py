"""A web server on this machine that misbehaves as told."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass
class Route:
    """How one path is answered. Each list is used up from the front, one item a request."""

    content: bytes = b""
    ranges: bool = True
    conditions: bool = True  # If-Range is obeyed
    etag: str = '"one"'
    modified: str = ""
    cuts: list[int] = field(default_factory=list)  # bytes of the body before the connection is cut
    always_cut: int | None = None
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    always_status: int | None = None
    redirect: str = ""
    claimed: int | None = None  # a false Content-Length
    lengthless: bool = False  # the end of the connection is the end of the body
    chunked: bool = False
    stalls: list[int] = field(default_factory=list)  # bytes of the body before silence
    pause: float = 0.0  # seconds before the answer


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    sent: int = 0  # bytes of the body


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__((HOST, 0), _Handler)
        self.routes: dict[str, Route] = {}
        self.requests: list[Request] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def ranges(self) -> list[str | None]:
        """The Range line of every request so far."""
        return [request.headers.get("Range") for request in self.requests]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        pass

    def do_GET(self):  # noqa: N802, the name that http.server calls
        request = Request(self.path, dict(self.headers))
        self.server.requests.append(request)
        route = self.server.routes[self.path.partition("?")[0]]
        self.server.over.wait(route.pause)
        status, further = route.statuses.pop(0) if route.statuses else (route.always_status, {})
        if status or route.redirect:
            self.send_response(status or 302)
            for name, value in further.items():
                self.send_header(name, value)
            if route.redirect:
                self.send_header("Location", route.redirect)
            self.end_headers()
            return
        body = self._head(route)
        cut = route.cuts.pop(0) if route.cuts else route.always_cut
        stall = route.stalls.pop(0) if route.stalls else None
        stop = cut if cut is not None else stall
        piece = body if stop is None else body[:stop]
        request.sent = len(piece)
        if route.chunked:
            for start in range(0, len(piece), 5000):
                part = piece[start : start + 5000]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            if stop is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            with contextlib.suppress(OSError):
                self.wfile.write(piece)
        if stall is not None:
            self.server.over.wait(20)

    def _head(self, route: Route) -> bytes:
        """Send the head of the answer; returns what is to follow."""
        total, wanted, condition = len(route.content), self.headers.get("Range"), self.headers.get("If-Range")
        start = 0
        if wanted and route.ranges and (not route.conditions or condition in (None, route.etag, route.modified)):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.end_headers()
                return b""
            if route.chunked:
                self.protocol_version = "HTTP/1.1"
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            if route.chunked:
                self.protocol_version = "HTTP/1.1"
            self.send_response(200)
        if route.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
        elif not route.lengthless:
            self.send_header("Content-Length", str(total - start if route.claimed is None else route.claimed))
        if route.etag:
            self.send_header("ETag", route.etag)
        if route.modified:
            self.send_header("Last-Modified", route.modified)
        self.end_headers()
        return route.content[start:]
