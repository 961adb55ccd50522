"""Downloads from a server on this machine, good and bad."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import requests

from etc.core.errors import UserError
from etc.core.files import cache_folder, sha256
from etc.download import download
from etc.downloading import addresses, attempts, meter, transfer
from etc.downloading.locks import locked
from tests.http_world import Route, serving

CONTENT = bytes(range(256)) * 9000
OTHER = CONTENT[::-1]
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)
HALF = SIZE // 2


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(transfer, "STALL", 5.0)
    monkeypatch.delenv("ETC_OFFLINE", raising=False)


@pytest.fixture
def server():
    with serving() as running:
        running.routes["/file"] = Route(CONTENT)
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def fails(match, *arguments, **options):
    with pytest.raises(UserError, match=match) as caught:
        download(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is there, and what is not


@pytest.mark.parametrize("checksum", [DIGEST, DIGEST[:8], DIGEST[:8].upper(), None])
def test_a_file_is_fetched_once(server, tmp_path, checksum):
    path = tmp_path / "new" / "file.bin"
    for _ in range(2):
        assert download(f"{server.url}/file", path, checksum) == path
    assert path.read_bytes() == CONTENT
    assert sha256(path) == DIGEST
    assert len(server.requests) == 1
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("known", [{"checksum": DIGEST}, {"size": SIZE}])
def test_a_damaged_file_is_fetched_again(server, path, known):
    path.write_bytes(CONTENT[:-1])
    download(f"{server.url}/file", path, **known)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{"checksum": DIGEST[:8]}, {"size": SIZE}, {"checksum": DIGEST, "size": SIZE}])
@pytest.mark.parametrize("content", [OTHER + b"x", CONTENT[:-1], b"<html>Please log in</html>"])
def test_what_does_not_match_never_gets_the_name(server, path, known, content):
    server.routes["/file"].content = content
    path.write_bytes(b"old")
    fails(f"expected ({DIGEST[:8]}|{SIZE})", f"{server.url}/file", path, **known)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["file.bin"]
    assert len(server.requests) == 1


def test_a_file_of_the_right_size_but_other_content_is_refused(server, path):
    server.routes["/file"].content = OTHER
    fails("SHA-256 is .*, expected", f"{server.url}/file", path, DIGEST, size=SIZE)
    assert names(path.parent) == []


def test_too_many_bytes_are_not_stored(server, path):
    server.routes["/file"] = Route(CONTENT + b"x", chunked=True)
    fails(f"more than the expected {SIZE} bytes", f"{server.url}/file", path, size=SIZE)
    assert names(path.parent) == []


def test_a_folder_is_no_file(server, tmp_path):
    fails("a folder", f"{server.url}/file", tmp_path)
    assert server.requests == []


@pytest.mark.parametrize(
    ("checksum", "message"),
    [(DIGEST[:7], "too short"), ("not hexadecimal", "no SHA-256"), (DIGEST + "0", "no SHA-256")],
)
def test_a_wrong_checksum_is_refused(path, checksum, message):
    fails(message, "http://127.0.0.1/file", path, checksum)


def test_no_answer_is_named(path):
    with serving() as closed:
        url = f"{closed.url}/file"
    message = fails(r"127\.0\.0\.1.*cannot be downloaded \(Connection refused; 5 attempts\)", url, path, DIGEST)
    assert "get it elsewhere" in message
    assert names(path.parent) == []


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://host/file", "file:///etc/hosts", "http:///file", "http://[::1/file"]
)
def test_an_address_of_another_kind_is_refused(path, url):
    fails(r"not an http\(s\) address", url, path, DIGEST)
    assert names(path.parent) == []


# Continuing


@pytest.mark.parametrize("checksum", [DIGEST, None])
def test_a_cut_connection_is_continued(server, path, checksum):
    server.routes["/file"].cuts = [HALF, 1000]
    download(f"{server.url}/file", path, checksum)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert [request.sent for request in server.requests] == [HALF, 1000, SIZE - HALF - 1000]
    assert names(path.parent) == ["file.bin"]


def half_done(server, path, checksum=DIGEST, **route):
    """Leave a ``.part`` with the first half."""
    server.routes["/file"] = Route(CONTENT, cuts=[HALF], statuses=[], **route)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "ATTEMPTS", 1)
        fails(f"cut after {HALF} of {SIZE} bytes.*run again to continue", f"{server.url}/file", path, checksum)
    assert path.with_name("file.bin.part").read_bytes() == CONTENT[:HALF]
    assert names(path.parent) == ["file.bin.part", "file.bin.part.json"]
    server.requests.clear()


@pytest.mark.parametrize(
    ("checksum", "versions", "condition"),
    [
        (DIGEST, {}, '"one"'),
        (None, {}, '"one"'),
        (None, {"etag": 'W/"one"', "modified": "Sat, 01 Jan 2022 00:00:00 GMT"}, "Sat, 01 Jan 2022 00:00:00 GMT"),
        (DIGEST, {"etag": ""}, None),
    ],
)
def test_the_next_call_continues(server, path, capsys, checksum, versions, condition):
    half_done(server, path, checksum, **versions)
    capsys.readouterr()
    download(f"{server.url}/file", path, checksum)
    assert path.read_bytes() == CONTENT
    assert [(one.headers.get("Range"), one.headers.get("If-Range"), one.sent) for one in server.requests] == [
        (f"bytes={HALF}-", condition, SIZE - HALF)
    ]
    assert "2.30MB, 1.15MB of it already here" in capsys.readouterr().err
    assert names(path.parent) == ["file.bin"]


def test_without_version_and_checksum_nothing_is_continued(server, path):
    half_done(server, path, checksum=None, etag="")
    download(f"{server.url}/file", path)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None]


@pytest.mark.parametrize("known", [{"checksum": hashlib.sha256(OTHER).hexdigest()}, {}])
@pytest.mark.parametrize("conditions", [True, False])
def test_a_file_that_changed_is_fetched_anew(server, path, known, conditions):
    half_done(server, path)
    server.routes["/file"] = Route(OTHER, etag='"two"', conditions=conditions)
    download(f"{server.url}/file", path, **known)
    assert path.read_bytes() == OTHER
    assert server.ranges()[0] == f"bytes={HALF}-"
    assert sum(one.sent for one in server.requests if one.headers.get("Range") is None or conditions) == SIZE


def test_a_change_that_the_server_hides_is_found_by_the_checksum(server, path):
    half_done(server, path, etag="")
    server.routes["/file"] = Route(OTHER, etag="")
    download(f"{server.url}/file", path, hashlib.sha256(OTHER).hexdigest())
    assert path.read_bytes() == OTHER
    assert server.ranges() == [f"bytes={HALF}-", None]


def test_a_change_of_length_is_seen(server, path):
    half_done(server, path, etag="")
    server.routes["/file"] = Route(OTHER + b"x", etag="")
    download(f"{server.url}/file", path, hashlib.sha256(OTHER + b"x").hexdigest())
    assert server.ranges() == [f"bytes={HALF}-", None]


def test_a_server_without_ranges_starts_over(server, path):
    half_done(server, path)
    server.routes["/file"].ranges = False
    download(f"{server.url}/file", path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert [one.sent for one in server.requests] == [SIZE]


def test_a_server_that_always_starts_over_is_given_up(server, path):
    server.routes["/file"] = Route(CONTENT, ranges=False, always_cut=HALF)
    fails("cut after", f"{server.url}/file", path, DIGEST)
    assert len(server.requests) == 1 + attempts.ATTEMPTS - 1
    assert names(path.parent) == ["file.bin.part", "file.bin.part.json"]


@pytest.mark.parametrize("known", [{"checksum": DIGEST}, {"checksum": DIGEST, "size": SIZE}, {}])
def test_a_part_longer_than_the_file_starts_over(server, path, known):
    half_done(server, path)
    with path.with_name("file.bin.part").open("ab") as stream:
        stream.write(CONTENT)
    download(f"{server.url}/file", path, **known)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None]


def test_a_part_longer_than_the_changed_file_starts_over(server, path):
    half_done(server, path)
    server.routes["/file"] = Route(CONTENT[:100])
    download(f"{server.url}/file", path, hashlib.sha256(CONTENT[:100]).hexdigest())
    assert path.read_bytes() == CONTENT[:100]
    assert server.ranges() == [f"bytes={HALF}-", None]


@pytest.mark.parametrize(("checksum", "ranges"), [(DIGEST, []), (None, [f"bytes={SIZE}-"])])
def test_a_complete_part_is_not_fetched_again(server, path, checksum, ranges):
    half_done(server, path)
    path.with_name("file.bin.part").write_bytes(CONTENT)
    download(f"{server.url}/file", path, checksum)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == ranges


def test_a_damaged_part_is_found_by_the_checksum(server, path):
    half_done(server, path)
    path.with_name("file.bin.part").write_bytes(OTHER[:HALF])
    download(f"{server.url}/file", path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("notes", [None, "", "{}", "[1]", '{"url": 1, "etag": 2, "modified": 3, "total": 4}', "other"])
def test_a_part_of_unknown_origin_is_not_continued(server, path, notes):
    half_done(server, path)
    file = path.with_name("file.bin.part.json")
    if notes is None:
        file.unlink()
    elif notes == "other":
        file.write_text(file.read_text().replace("/file", "/another"))
    else:
        file.write_text(notes)
    download(f"{server.url}/file", path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None]


# Failures that pass, and those that do not


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, path, status, capsys):
    server.routes["/file"].statuses = [(status, {})] * 2
    download(f"{server.url}/file", path, DIGEST)
    assert len(server.requests) == 3
    assert f"{status} " in capsys.readouterr().err


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501, 999])
def test_a_refusal_is_final(server, path, status):
    server.routes["/file"].always_status = status
    message = fails(f"/file: cannot be downloaded .*{status}", f"{server.url}/file", path, DIGEST)
    assert "give its path" in message and ("login" in message) == (status in (401, 403))
    assert len(server.requests) == 1
    assert names(path.parent) == []


def test_attempts_end(server, path):
    server.routes["/file"].always_status = 503
    fails(r"503 Service Unavailable; 5 attempts\).*give its path", f"{server.url}/file", path, DIGEST)
    assert len(server.requests) == attempts.ATTEMPTS
    assert names(path.parent) == []


def test_the_server_says_how_long_to_wait(server, path, monkeypatch):
    waits = []
    monkeypatch.setattr(attempts.time, "sleep", waits.append)
    later = formatdate(time.time() + 100, usegmt=True)
    replies = [{"Retry-After": "7"}, {"Retry-After": later}, {"Retry-After": "soon"}, {}]
    server.routes["/file"].statuses = [(429, reply) for reply in replies]
    download(f"{server.url}/file", path, DIGEST)
    assert waits[0] == 7 and 95 < waits[1] <= 100 and waits[2] < 1 and waits[3] < 1


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server, path):
    server.routes["/file"].statuses = [(503, {"Retry-After": "3600"})]
    fails("asks to wait 3600 s", f"{server.url}/file", path, DIGEST)
    assert len(server.requests) == 1


def test_delays_double(server, path, monkeypatch):
    waits = []
    monkeypatch.setattr(attempts.time, "sleep", waits.append)
    monkeypatch.setattr(attempts, "FIRST_DELAY", 10.0)
    server.routes["/file"].always_status = 500
    fails("500", f"{server.url}/file", path)
    for number, wait in enumerate(waits):
        full = min(10.0 * 2**number, attempts.LONGEST_DELAY)
        assert full / 2 <= wait <= full
    assert len(waits) == attempts.ATTEMPTS - 1


def test_new_bytes_are_worth_new_attempts(server, path):
    server.routes["/file"].cuts = [SIZE // 20] * 15
    download(f"{server.url}/file", path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert sum(one.sent for one in server.requests) == SIZE


def test_a_silent_server_is_left(server, path, monkeypatch):
    monkeypatch.setattr(transfer, "STALL", 0.3)
    server.routes["/file"].stalls = [HALF]
    start = time.monotonic()
    download(f"{server.url}/file", path, DIGEST)
    assert 0.3 < time.monotonic() - start < 5
    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert path.read_bytes() == CONTENT


def test_a_server_that_never_answers_is_named(server, path, monkeypatch):
    monkeypatch.setattr(transfer, "STALL", 0.1)
    monkeypatch.setattr(attempts, "ATTEMPTS", 2)
    server.routes["/file"].pause = 20
    fails(r"no answer for 0.1 s; 2 attempts", f"{server.url}/file", path, DIGEST)
    assert names(path.parent) == []


@pytest.mark.parametrize("known", [{}, {"checksum": DIGEST}])
def test_a_length_that_is_too_long_is_found(server, path, known):
    server.routes["/file"] = Route(CONTENT, claimed=SIZE + 1, ranges=False)
    fails(f"cut after {SIZE} of {SIZE + 1} bytes", f"{server.url}/file", path, **known)
    assert names(path.parent) == ["file.bin.part", "file.bin.part.json"]


def test_a_length_that_is_too_short_is_found(server, path):
    server.routes["/file"].claimed = SIZE - 1
    fails("SHA-256", f"{server.url}/file", path, DIGEST)
    assert names(path.parent) == []


@pytest.mark.parametrize("route", [{"lengthless": True}, {"chunked": True}])
@pytest.mark.parametrize("known", [{"checksum": DIGEST}, {"size": SIZE}, {}])
def test_a_body_of_unsaid_length(server, path, route, known):
    server.routes["/file"] = Route(CONTENT, **route)
    download(f"{server.url}/file", path, **known)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("route", [{"lengthless": True}, {"chunked": True}])
def test_a_cut_body_of_unsaid_length_is_continued(server, path, route):
    server.routes["/file"] = Route(CONTENT, cuts=[HALF], **route)
    download(f"{server.url}/file", path, size=SIZE)
    assert path.read_bytes() == CONTENT
    assert server.ranges()[1] == f"bytes={server.requests[0].sent}-"


def test_chunks_that_end_early_are_noticed_without_size(server, path):
    server.routes["/file"] = Route(CONTENT, cuts=[HALF], chunked=True)
    download(f"{server.url}/file", path)
    assert path.read_bytes() == CONTENT


# Redirects and secrets


def test_redirects_are_followed_and_secrets_stay_at_home(server, path, capsys):
    with serving() as other:
        server.routes["/start"] = Route(redirect="/inner?step=hush2")
        server.routes["/inner"] = Route(redirect=f"{other.url}/away?signature=hush3")
        other.routes["/away"] = Route(redirect=f"{server.url}/file")
        session = requests.Session()
        session.headers["X-Session"] = "hush4"
        session.cookies.set("login", "hush5")
        url = server.url.replace("//", "//user:hush1@") + "/start?key=hush0"
        download(url, path, DIGEST, headers={"X-Key": "hush6"}, session=session)
        (away,) = other.requests
    assert path.read_bytes() == CONTENT
    assert "hush" not in str({k: v for k, v in away.headers.items()})
    assert not {"Authorization", "Cookie", "X-Session", "X-Key"} & set(away.headers)
    for request in server.requests:
        assert request.headers["Authorization"].startswith("Basic ")
        assert request.headers["Cookie"] == "login=hush5"
        assert (request.headers["X-Session"], request.headers["X-Key"]) == ("hush4", "hush6")
    assert [one.path for one in server.requests] == ["/start?key=hush0", "/inner?step=hush2", "/file"]
    assert "hush" not in capsys.readouterr().err


@pytest.mark.parametrize("failure", ["cut", "status", "refused", "checksum", "redirect", "stall", "header", "offline"])
def test_no_message_and_no_file_holds_a_secret(server, path, monkeypatch, capsys, failure):
    monkeypatch.setattr(attempts, "ATTEMPTS", 2)
    options = {"headers": {"X-Key": "hush-header"}}
    route, port = server.routes["/file"], server.server_port
    if failure == "cut":
        route.always_cut, route.ranges = HALF, False
    elif failure == "status":
        route.always_status = 403
    elif failure == "refused":
        with serving() as closed:
            port = closed.server_port
    elif failure == "checksum":
        route.content = OTHER
    elif failure == "redirect":
        route.redirect = "ftp://someone:hush@host/?hush"
    elif failure == "stall":
        monkeypatch.setattr(transfer, "STALL", 0.1)
        route.stalls = [10, 0]
    elif failure == "header":
        options["headers"] = {"X-Key": "hush\nhush"}
    else:
        options["offline"] = True
    url = f"http://user-hush:pass-hush@127.0.0.1:{port}/file?token=hush#hush"
    message = fails("127.0.0.1", url, path, DIGEST, **options)
    output = capsys.readouterr()
    assert "hush" not in message + output.out + output.err
    for one in path.parent.iterdir():
        assert b"hush" not in one.read_bytes()
    assert path.with_name("file.bin.part.json").exists() == (failure in ("cut", "stall"))


def test_a_loop_of_redirects_ends(server, path):
    server.routes["/loop"] = Route(redirect="/loop")
    fails("more than 10 redirects", f"{server.url}/loop", path, DIGEST)


class Upgraded(requests.adapters.BaseAdapter):
    """An https server that redirects to ``target``."""

    def __init__(self, target):
        super().__init__()
        self.target = target

    def send(self, request, **_):
        response = requests.Response()
        response.status_code, response.url, response.request = 302, request.url, request
        response.headers["Location"] = self.target
        response.raw = io.BytesIO()
        return response

    def close(self):
        pass


def test_a_redirect_from_https_to_http_is_refused(server, path):
    session = requests.Session()
    session.mount("https://", Upgraded(f"{server.url}/file"))
    fails("redirects from https to http://127.0.0.1", "https://host.invalid/file", path, DIGEST, session=session)
    assert server.requests == []


@pytest.mark.parametrize(
    ("home", "url", "same"),
    [
        ("http://host/a", "http://host/b", True),
        ("http://host/a", "http://HOST:80/b", True),
        ("http://host/a", "https://host/b", True),
        ("https://host/a", "http://host/b", False),
        ("http://host:81/a", "https://host/b", False),
        ("http://host/a", "http://host:81/b", False),
        ("http://host/a", "http://host.evil/b", False),
        ("http://host/a", "http://host@evil/b", False),
        ("http://host/a", "http://evil\\@host/b", False),
    ],
)
def test_secrets_go_to_one_host(home, url, same):
    assert addresses.same_owner(addresses.origin(home), url) == same


@pytest.mark.parametrize(
    "url",
    [
        "https://u:p@host/x?q#f",
        "https://u@host/x",
        "https://u:p@@host/x",
        "//u:p@host/x?q",
        "u:p@host/x",
        "https://h\n?p",
    ],
)
def test_what_is_shown_of_an_address(url):
    shown = addresses.shown(url)
    assert not set("?#@\n") & set(shown) and "p@" not in shown and ":p" not in shown


# Two at once


def _fetch(url, path, queue):
    queue.put(str(download(url, path, DIGEST)))


def test_two_processes_fetch_once(server, path):
    server.routes["/file"].pause = 0.5
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_fetch, args=(f"{server.url}/file", path, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=10) for _ in children] == [str(path)] * 2
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert len(server.requests) == 1
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.bin"]


def test_who_has_waited_holds_a_lock_that_the_next_one_sees(path, capsys):
    lock = path.with_name(".file.bin.lock")
    seen = []

    def wait():
        with locked(path):
            seen.append(lock.exists())

    waiting = threading.Thread(target=wait)
    with locked(path):
        waiting.start()
        deadline = time.monotonic() + 5
        while "waiting for another process" not in capsys.readouterr().err and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not seen
    waiting.join(5)
    assert seen == [True] and not lock.exists()


def test_a_killed_download_is_continued(server, path):
    # More than what the file's buffer holds back.
    server.routes["/file"].stalls = [2_000_000]
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from etc.download import download; download('{server.url}/file', '{path}', '{DIGEST}')",
        ]
    )
    part = path.with_name("file.bin.part")
    deadline = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = part.stat().st_size
    assert kept > 0 and not path.exists()
    download(f"{server.url}/file", path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={kept}-"]
    assert names(path.parent) == ["file.bin"]


# Offline, and the disk


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_never_asks(server, path, monkeypatch, value):
    monkeypatch.setenv("ETC_OFFLINE", value)
    message = fails("is missing.*ETC_OFFLINE", f"{server.url}/file?secret", path, DIGEST, size=SIZE)
    for part in (f"{server.url}/file ", f"{SIZE} bytes", f"SHA-256 {DIGEST})", f"put it at {path.absolute()},"):
        assert part in message
    path.write_bytes(OTHER)
    fails("not the right file", f"{server.url}/file", path, DIGEST)
    path.write_bytes(CONTENT)
    assert download(f"{server.url}/file", path, DIGEST, size=SIZE) == path
    assert server.requests == [] and names(path.parent) == ["file.bin"]


def test_the_parameter_decides_before_the_variable(server, path, monkeypatch):
    fails("is missing", f"{server.url}/file", path, offline=True)
    monkeypatch.setenv("ETC_OFFLINE", "1")
    download(f"{server.url}/file", path, offline=False)
    monkeypatch.setenv("ETC_OFFLINE", "0")
    path.unlink()
    download(f"{server.url}/file", path)
    assert len(server.requests) == 2


def test_a_disk_without_room_is_named_before(server, path, monkeypatch):
    usage = type("Usage", (), {"free": SIZE - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    fails("needs 2.30MB, 2.30MB are free", f"{server.url}/file", path, DIGEST)
    assert names(path.parent) == []
    usage.free = SIZE
    download(f"{server.url}/file", path, DIGEST)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_named_and_the_part_stays(server, path):
    half_done(server, path)
    part = path.with_name("file.bin.part")
    with pytest.MonkeyPatch.context() as patch:
        real = open

        def full(name, mode="r", *arguments, **options):
            return real("/dev/full" if mode == "ab" else name, mode, *arguments, **options)

        patch.setattr("builtins.open", full)
        fails("file.bin.part: the disk is full", f"{server.url}/file", path, DIGEST)
    assert part.read_bytes() == CONTENT[:HALF]
    server.requests.clear()
    download(f"{server.url}/file", path, DIGEST)
    assert server.ranges() == [f"bytes={HALF}-"] and path.read_bytes() == CONTENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    fails("no permission", f"{server.url}/file", folder / "file.bin", DIGEST)


def test_a_file_in_the_place_of_the_folder_is_named(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    fails("a file stands in the way", f"{server.url}/file", tmp_path / "file" / "file.bin", DIGEST)


# What is shown


def test_a_log_shows_size_rate_and_remaining_time(server, path, monkeypatch, capsys):
    monkeypatch.setattr(meter, "LOG_SECONDS", 0.0)
    download(f"{server.url}/file", path, DIGEST)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == f"downloading {server.url}/file: 2.30MB"
    assert lines and all(line.startswith("file.bin:") and "B/s" in line and "<" in line for line in lines)
    assert "2.30M/2.30M" in lines[-1]


def test_a_terminal_shows_a_bar_that_starts_where_an_earlier_run_ended(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with meter.track_bytes(2000, "job", done=1000) as show:
        show(1500)
        show(2000)
    text = capsys.readouterr().err
    assert "1.00k/2.00k" in text and "2.00k/2.00k" in text and "B/s" in text


# Small things


@pytest.mark.parametrize("known", [{}, {"size": 0, "checksum": hashlib.sha256(b"").hexdigest()}])
def test_an_empty_file(server, path, known):
    server.routes["/file"].content = b""
    download(f"{server.url}/file", path, **known)
    assert path.read_bytes() == b"" and names(path.parent) == ["file.bin"]


def test_the_notes_beside_a_part(server, path):
    half_done(server, path)
    notes = json.loads(path.with_name("file.bin.part.json").read_text())
    assert notes == {"url": f"{server.url}/file", "etag": '"one"', "modified": "", "total": SIZE}


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
