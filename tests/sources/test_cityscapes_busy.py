"""A Cityscapes site that is busy for a while: login, list and MD5 sums are asked for again, a password is not."""

import json
import time

import pytest

from etc.downloading import attempts
from etc.sources.cityscapes import account, sessions
from tests.sources.cityscapes_site import SECRET, USER, fails, files, source

pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")

LOGIN_PAGE, LOGIN, LIST, SUM = "GET /login", "POST /login", "GET /downloads/", "GET /md5-sum/"
PAGES = (LOGIN_PAGE, LOGIN, LIST, SUM)


@pytest.fixture(params=["variables", "stored"])
def known(request, site, monkeypatch):
    """The account, given in either way: the steps of the login are then ours, or those of the tool."""
    if request.param == "variables":
        return request.getfixturevalue("variables")
    path = account._stored(account.tool())
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"username": USER, "password": SECRET}))
    return path


@pytest.fixture
def waits(monkeypatch):
    """Seconds of each pause, which takes no time here."""
    seconds = []
    monkeypatch.setattr(attempts.time, "sleep", seconds.append)
    return seconds


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_page_is_asked_for_again(site, known, page, status, capsys):
    site.busy[page] = [(status, {}), (status, {})]
    folder = source().fetch(True)
    assert len(files(folder)) == 6 and site.served == [("1", None), ("3", None)]
    assert site.asked.count(page) == (4 if page == SUM else 3)
    # Nothing else was asked twice, least of all the account.
    others = {LOGIN_PAGE: 1, LOGIN: 1, LIST: 1, SUM: 2}
    assert all(site.asked.count(other) == count for other, count in others.items() if other != page)
    printed = capsys.readouterr()
    path = page.split()[1]
    assert f"{site.url}{path}: {status} " in printed.err and "attempt 3 of 5" in printed.err
    for secret in (SECRET, USER, "cookie-0815", "packageID"):
        assert secret not in printed.out + printed.err


@pytest.mark.parametrize("page", PAGES)
def test_the_site_says_how_long_to_wait(site, known, page, waits):
    site.busy[page] = [(429, {"Retry-After": "7"}), (503, {})]
    source().fetch(True)
    assert waits[0] == 7 and waits[1] <= 2 * attempts.FIRST_DELAY and len(waits) == 2


@pytest.mark.parametrize("page", PAGES)
def test_a_site_that_stays_busy_is_told_in_one_line(site, known, page, waits, capsys, tmp_path):
    site.always_busy = page
    path = page.split()[1]
    match = rf"^{site.url}{path}: cannot be reached \(503 Service Unavailable; 5 attempts\); run again later"
    printed = fails(match, capsys)
    assert site.asked.count(page) == attempts.ATTEMPTS and len(waits) == attempts.ATTEMPTS - 1
    assert printed.count(f"{site.url}{path}: 503 Service Unavailable; attempt ") == attempts.ATTEMPTS - 1
    assert not (tmp_path / "data" / "cityscapes").exists() and not site.served


def test_a_site_that_asks_to_wait_an_hour_is_not_waited_for(site, variables, capsys, waits):
    site.busy[LIST] = [(503, {"Retry-After": "3600"})]
    fails(r"/downloads/: cannot be reached \(503 .*asks to wait 3600 s; 1 attempt\)", capsys)
    assert site.asked.count(LIST) == 1 and not waits


def test_what_came_before_a_site_that_stays_busy_is_used_by_the_next_run(site, variables, capsys, waits):
    site.busy[SUM] = [(0, {}), *[(503, {})] * attempts.ATTEMPTS]
    fails(r"/md5-sum/: cannot be reached .* what has arrived stays$", capsys)
    assert [number for number, _ in site.served] == ["1"]
    source().fetch(True)
    assert [number for number, _ in site.served] == ["1", "3"]


@pytest.mark.parametrize("busy", [[], [(503, {})]])
def test_a_wrong_password_is_sent_once(site, known, busy, waits, monkeypatch, capsys):
    site.busy[LOGIN] = busy
    if known is None:
        monkeypatch.setenv(account.PASSWORD, "wrong")
    else:
        known.write_text(json.dumps({"username": USER, "password": "wrong"}))
    tried = len(busy) + 1
    fails("account is refused", capsys)
    # Once beyond those that the busy site has not looked at.
    assert len(site.forms) == tried and site.asked == [LOGIN_PAGE, *[LOGIN] * tried]
    assert {form["password"] for form in site.forms} == {"wrong"}


def test_the_tool_gets_its_library_back(site, known):
    downloader = account.tool()
    library = downloader.requests
    source().fetch(True)
    assert downloader.requests is library


def test_a_silent_page_is_left(site, variables, capsys, monkeypatch):
    monkeypatch.setattr(sessions, "TIMEOUT", 0.2)
    monkeypatch.setattr(attempts, "ATTEMPTS", 2)
    site.silent = LIST
    start = time.monotonic()
    fails(r"/downloads/: cannot be reached \(no answer for 0.2 s; 2 attempts\)", capsys)
    assert 0.4 <= time.monotonic() - start < 10


def test_a_page_that_is_cut_is_asked_for_again(site, variables):
    site.cut_pages = {LIST: [3]}
    source().fetch(True)
    assert site.asked.count(LIST) == 2
