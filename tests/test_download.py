"""Downloads with a checksum, from a server on this machine."""

import hashlib
import http.server
import threading

import pytest

from etc.download import cache_folder, download, sha256
from etc.errors import UserError

CONTENT = bytes(range(256)) * 9000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802, the name that http.server calls
        self.server.asked.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        content = {"/short": CONTENT[:-1], "/other": CONTENT[::-1]}.get(self.path, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("checksum", [DIGEST, DIGEST[:8], DIGEST[:8].upper()])
def test_a_file_is_fetched_once(server, tmp_path, checksum):
    path = tmp_path / "new" / "file.bin"
    for _ in range(2):
        assert download(f"{server.url}/file", path, checksum) == path
    assert path.read_bytes() == CONTENT
    assert sha256(path) == DIGEST
    assert server.asked == ["/file"]


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT[:-1])
    download(f"{server.url}/file", path, DIGEST)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "message"),
    [("other", f"SHA-256 is .*, expected {DIGEST[:8]}"), ("short", "/short"), ("missing", "404")],
)
def test_what_does_not_match_never_gets_the_name(server, tmp_path, name, message):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=message) as caught:
        download(f"{server.url}/{name}", path, DIGEST[:8])
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_answer_is_named(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/file"
    with pytest.raises(UserError, match=r"127\.0\.0\.1.*cannot be downloaded"):
        download(url, tmp_path / "file.bin", DIGEST)
    with pytest.raises(UserError, match="nonsense"):
        download("nonsense", tmp_path / "file.bin", DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_a_short_checksum_is_refused(tmp_path):
    with pytest.raises(UserError, match="too short"):
        download("http://127.0.0.1/file", tmp_path / "file.bin", DIGEST[:7])


def test_the_cache_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "etc-segmentation"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "etc-segmentation"


def test_a_missing_file_has_no_checksum(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            sha256(path)
