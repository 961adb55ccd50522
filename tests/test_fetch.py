"""Downloads from a server on this machine, good and bad."""

import hashlib
import io
import multiprocessing
import os
import re
import signal
import threading
import time

import pytest
import requests

from etc import fetch
from etc.core.errors import UserError
from etc.fetch import ByteBar, agree, download, locked, volume
from tests.http_world import Route, serving

CONTENT = bytes(range(256)) * 9000
OTHER = CONTENT[::-1]
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 0.001)
    monkeypatch.delenv("ETC_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with serving() as running:
        running.routes["/file"] = Route(CONTENT)
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "file.bin"


def names(folder):
    """Files without the lock, which stays."""
    return sorted(one.name for one in folder.iterdir() if one.name != ".file.bin.lock")


def fails(match, *arguments):
    with pytest.raises(UserError, match=match) as caught:
        download(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("checksum", [DIGEST, DIGEST[:8], DIGEST[:8].upper(), ""])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_is_fetched_once(server, path, checksum, chunked):
    server.routes["/file"].chunked = chunked
    for _ in range(2):
        assert download(f"{server.url}/file", str(path), checksum) == path
    assert path.read_bytes() == CONTENT and len(server.requests) == 1
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("length", ["many", "-1", "1.5"])
def test_a_length_that_is_no_number_is_ignored(server, path, length):
    server.routes["/file"].length = length
    assert download(f"{server.url}/file", path, DIGEST).read_bytes() == CONTENT


def test_a_redirect_is_followed(server, path):
    server.routes["/moved"] = Route(location="/file")
    assert download(f"{server.url}/moved", path).read_bytes() == CONTENT


def test_the_address_of_a_redirect_is_not_shown(server, path, capsys):
    server.routes["/moved"] = Route(location="/signed?key=secret")
    server.routes["/signed?key=secret"] = Route(statuses=[503, 404])
    fails(f"^{server.url}/moved: 404 Not Found; is the address still right", f"{server.url}/moved", path)
    assert "secret" not in capsys.readouterr().err


def test_a_redirect_from_https_to_http_is_refused(server, path, monkeypatch):
    send = requests.adapters.HTTPAdapter.send

    def answer(adapter, request, **options):
        """The server of the test also stands for one with https, which leads to it."""
        if not request.url.startswith("https:"):
            return send(adapter, request, **options)
        redirect = requests.Response()
        redirect.status_code, redirect.url, redirect.request, redirect.raw = 302, request.url, request, io.BytesIO()
        redirect.headers["Location"] = f"{server.url}/file"
        return redirect

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answer)
    fails("^https://data/file: leads to an address without encryption", "https://data/file", path, DIGEST)
    assert server.requests == ["/file"] and names(path.parent) == []


def test_a_file_that_does_not_match_is_replaced(server, path):
    path.parent.mkdir()
    path.write_bytes(OTHER)
    assert download(f"{server.url}/file", path, DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "route",
    [
        Route(CONTENT, statuses=[503, 429, 408, 500]),
        Route(CONTENT, cuts=[0, 1000, SIZE - 1]),
        Route(CONTENT, cuts=[1000, SIZE - 1], chunked=True),
        Route(CONTENT, statuses=[502, 0, 504], cuts=[7]),
    ],
)
def test_failures_that_pass_are_tried_again_from_the_beginning(server, path, capsys, route):
    server.routes["/file"] = route
    assert download(f"{server.url}/file", path).read_bytes() == CONTENT
    assert f"attempt {len(server.requests)} of 5" in capsys.readouterr().err
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize(
    ("route", "requests", "message"),
    [
        (Route(OTHER), 5, rf"its SHA-256 is \w+, expected {DIGEST}…, 5 attempts; .* put the file at \S+/file\.bin$"),
        (Route(b"<html>Please log in</html>"), 5, "its SHA-256 is"),
        (Route(CONTENT, length="1000"), 5, "its SHA-256 is"),
        (Route(CONTENT, cuts=[1000] * 9), 5, "ChunkedEncodingError, 5 attempts"),
        (Route(CONTENT, cuts=[1000] * 9, chunked=True), 5, "ChunkedEncodingError, 5 attempts"),
        (Route(CONTENT, statuses=[503] * 9), 5, "503 Service Unavailable, 5 attempts"),
        (Route(CONTENT, silent=True), 5, "ReadTimeout, 5 attempts"),
        (Route(OTHER, statuses=[503, 0, 500, 0], cuts=[9]), 5, "its SHA-256 is"),
        (Route(CONTENT, statuses=[404]), 1, "/file: 404 Not Found; is the address still right"),
        (Route(CONTENT, statuses=[503, 403]), 2, "403 Forbidden"),
    ],
)
def test_attempts_end_and_what_is_cut_or_wrong_never_gets_the_name(server, path, monkeypatch, route, requests, message):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    path.parent.mkdir()
    path.write_bytes(b"old")
    server.routes["/file"] = route
    fails(message, f"{server.url}/file", path, DIGEST)
    assert len(server.requests) == requests
    assert path.read_bytes() == b"old" and names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("url", ["ftp://host/file", "file", "http://"])
def test_an_address_of_another_kind_is_refused(path, url):
    fails("is the address still right", url, path)


def test_a_server_that_is_not_there_is_named(path):
    fails(r"^http://127\.0\.0\.1:9/file: ConnectionError, 5 attempts", "http://127.0.0.1:9/file", path)


@pytest.mark.parametrize(
    ("value", "forbidden"), [("1", True), ("true", True), ("0", False), ("No", False), ("", False)]
)
def test_offline_names_the_source_and_the_place(server, path, monkeypatch, value, forbidden):
    monkeypatch.setenv("ETC_OFFLINE", value)
    if forbidden:
        message = rf"{path}: missing, and ETC_OFFLINE forbids the network; get {server.url}/file .* put it there"
        fails(message, f"{server.url}/file", path, DIGEST)
        assert not server.requests
        path.parent.mkdir()
        path.write_bytes(CONTENT)
    assert download(f"{server.url}/file", path, DIGEST).read_bytes() == CONTENT


def _fetch(url, path, queue):
    queue.put(str(download(url, path, DIGEST)))


def test_two_processes_fetch_once_and_a_killed_one_is_replaced(server, path):
    gate = server.routes["/file"].gate = threading.Event()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_fetch, args=(f"{server.url}/file", path, queue)) for _ in range(3)]
    children[0].start()
    while not server.requests:
        time.sleep(0.01)
    for child in children[1:]:
        child.start()
    os.kill(children[0].pid, signal.SIGKILL)
    # The lock passes on: another of them asks.
    deadline = time.monotonic() + 20
    while len(server.requests) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    gate.set()
    assert [queue.get(timeout=20) for _ in children[1:]] == [str(path)] * 2
    for child in children:
        child.join()
    assert len(server.requests) == 2 and path.read_bytes() == CONTENT and names(path.parent) == ["file.bin"]


def test_who_waits_for_a_lock_is_told(path, capsys):
    seen = []

    def wait():
        with locked(path):
            seen.append(1)

    waiting = threading.Thread(target=wait)
    with locked(path):
        waiting.start()
        deadline = time.monotonic() + 5
        while f"{path}: waiting for another process" not in capsys.readouterr().err:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not seen
    waiting.join(5)
    assert seen


def test_a_disk_without_room_is_named_before(server, path, monkeypatch):
    usage = type("Usage", (), {"free": SIZE + fetch.SPARE - 1})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage)
    fails(r"needs 2\.3 MB plus 100 MB in reserve, but only 102\.3 MB is free", f"{server.url}/file", path)
    assert names(path.parent) == []


@pytest.mark.parametrize("place", ["file", "folder"])
def test_what_stands_in_the_way_is_named(server, tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder" / "file.bin").mkdir(parents=True)
    fails(r"(a file stands in the way|this is a folder)", f"{server.url}/file", tmp_path / place / "file.bin")


@pytest.mark.parametrize(
    ("answer", "agreed", "message"),
    [
        (None, True, None),
        (None, False, "data: about 1.2 GB would be downloaded to here; agree with --yes"),
        ("y\n", False, None),
        ("Yes\n", False, None),
        ("\n", False, "data: not agreed, so nothing is downloaded; use mine"),
    ],
)
def test_sizes_are_printed_before_anything_is_agreed(monkeypatch, capsys, answer, agreed, message):
    terminal = io.StringIO(answer or "")
    monkeypatch.setattr(terminal, "isatty", lambda: answer is not None, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    sizes = {"a.zip": 1_100_000_000, "b.zip": 100_000_000}
    if message:
        with pytest.raises(UserError, match=message):
            agree("data", sizes, "here", agreed, "use mine")
    else:
        agree("data", sizes, "here", agreed, "use mine")
    printed = capsys.readouterr().err
    assert printed.startswith("data: a.zip, about 1.1 GB\ndata: b.zip, about 100 MB\n")
    assert ("Download about 1.2 GB to here? [y/N]" in printed) == (answer is not None)


@pytest.mark.parametrize(
    ("count", "text"),
    [(300_000, "0.3 MB"), (241_000_000, "241 MB"), (11_240_000_000, "11.2 GB"), (324 * 10**9, "324 GB")],
)
def test_volumes_are_short(count, text):
    assert volume(count) == text


def test_a_log_shows_size_rate_and_remaining_time_line_by_line(monkeypatch, capsys):
    monkeypatch.setattr(fetch, "LOG_SECONDS", 0.01)
    with ByteBar(total=5_000_000, desc="file") as bar:
        for _ in range(2):
            time.sleep(0.02)
            bar.update(1_000_000)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and all(re.match(r"file: +\d0%.*M/5\.00M \[.*<.*B/s\]", line) for line in lines)


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ByteBar(total=5_000_000, desc="file", initial=1_000_000) as bar:
        bar.update(4_000_000)
    printed = capsys.readouterr().err
    assert "\rfile:  20%" in printed and "\rfile: 100%" in printed
