"""A web server on this machine that misbehaves as told."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Route:
    """How one path is answered. ``statuses`` and ``cuts`` are used up from the front, one item a request."""

    content: bytes = b""
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  # bytes of the body before the connection is cut
    chunked: bool = False
    length: str = ""  # Content-Length, in place of the right one
    location: str = ""  # where a redirect leads
    silent: bool = False  # no answer
    gate: threading.Event | None = None  # the answer waits for it


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, Route] = {}
        self.requests: list[str] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


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
        self.server.requests.append(self.path)
        route = self.server.routes[self.path]
        if route.gate:
            route.gate.wait(60)
        if route.silent:
            self.server.over.wait(20)
            return
        if status := route.statuses.pop(0) if route.statuses else 0:
            self.send_error(status)
            return
        if route.location:
            self.send_response(302)
            self.send_header("Location", route.location)
            self.end_headers()
            return
        piece = route.content[: route.cuts.pop(0)] if route.cuts else route.content
        if route.chunked:
            self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        if route.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", route.length or str(len(route.content)))
        self.end_headers()
        end = b"0\r\n\r\n" if piece == route.content else b""
        with contextlib.suppress(OSError):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" + end if route.chunked else piece)
