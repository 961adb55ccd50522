"""Fetching Cityscapes from a server on this machine that stands for its site, through the real downloader."""

import io
import json
import sys

import pytest
import requests

from etc.downloading import attempts
from etc.sources.cityscapes import account, sessions
from etc.sources.cityscapes import download as cityscapes_download
from tests.sources.cityscapes_site import EXTRA, FINE, SECRET, STILL, USER, package
from tests.sources.cityscapes_site import fails as _fails
from tests.sources.cityscapes_site import files as _files
from tests.sources.cityscapes_site import source as _source

pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")

REAL_SITE = account.SITE


class _Terminal(io.StringIO):
    def isatty(self):
        return True


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
    site.files["4"] = (EXTRA, package("leftImg8bit", "leftImg8bit.png", ("train_extra",)))
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
    monkeypatch.setattr(attempts, "ATTEMPTS", 1)
    site.cuts = [100]
    _fails("run again to continue after 100B", capsys)
    assert not (tmp_path / "data" / "cityscapes").exists()
    _source().fetch(True)
    # This site names no version of a file; the MD5 sum decides in the end.
    assert site.served == [("1", None), ("1", "bytes=100-"), ("3", None)]
    assert not list((tmp_path / "data").glob("*.part"))


@pytest.mark.parametrize("answer", ["redirect", "page"])
def test_a_login_that_ends_does_not_cost_what_has_arrived(site, variables, capsys, monkeypatch, answer):
    monkeypatch.setattr(attempts, "ATTEMPTS", 1)
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
    site.files["3"] = (STILL, package("leftImg8bit", "leftImg8bit.png", ("train", "val")))
    _fails("holds no leftImg8bit/test", capsys)


def test_a_silent_or_closed_site(site, variables, capsys, monkeypatch):
    monkeypatch.setattr(account, "SITE", "http://127.0.0.1:9")
    monkeypatch.setattr(requests, "Session", requests.sessions.Session)
    printed = _fails(r"^http://127\.0\.0\.1:9/login: cannot be reached \(Connection refused; 5 attempts\)", capsys)
    assert printed.count("\n") == attempts.ATTEMPTS - 1


@pytest.mark.parametrize("page", ["GET /login", "POST /login"])
def test_a_site_that_refuses_is_asked_once(site, variables, capsys, page):
    site.busy[page] = [(403, {})]
    _fails(r"cannot log in \(HTTPError\)", capsys)
    assert site.asked.count(page) == 1


def test_offline(site, variables, capsys, monkeypatch):
    monkeypatch.setenv("ETC_OFFLINE", "1")
    _fails(r"ETC_OFFLINE forbids .* download from http\S+/downloads .* holds gtFine/train, gtFine/val", capsys)
    assert not site.forms


def test_the_tool_is_not_installed(site, variables, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cityscapesscripts.download.downloader", None)
    _fails("pip install cityscapesscripts$", capsys, agreed=False)


def test_the_request_has_a_time_limit(site, variables):
    session = account.login()
    assert isinstance(session.get_adapter(REAL_SITE), sessions._Patient)
    assert cityscapes_download.PACKAGES.keys() >= {FINE, STILL, EXTRA}
