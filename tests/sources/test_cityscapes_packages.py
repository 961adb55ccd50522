"""Fetching Cityscapes through the real csDownload, from a server on this machine that stands for its site."""

import multiprocessing
import shutil
import sys
import time

import pytest

from etc import fetch
from etc.core.errors import UserError
from etc.sources.cityscapes import packages
from etc.sources.cityscapes.cityscapes import Cityscapes
from etc.sources.cityscapes.params import CityscapesParams
from tests.sources.cityscapes_site import COOKIE, EXTRA, FINE, SECRET, STILL, USER, Terminal, package

pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")

NAMES = {
    f"{kind}/{split}/{city}/{city}_000000_000019_{ending}": f"{split} {ending}" * 50
    for kind, ending in (("gtFine", "gtFine_labelIds.png"), ("leftImg8bit", "leftImg8bit.png"))
    for split, city in (("test", "bonn"), ("train", "ulm"), ("val", "munster"))
}


@pytest.fixture(autouse=True)
def secret(tmp_path, capsys):
    """No test may leave anything of the account on the disk, but for the file of csDownload, or show it."""
    yield
    printed = capsys.readouterr()
    for text in (SECRET, USER, COOKIE):
        assert text not in printed.out + printed.err
        for path in tmp_path.rglob("*"):
            if path.is_file() and path.name != "credentials.json":
                assert text.encode() not in path.read_bytes()


def source(**values) -> Cityscapes:
    """The annotated frames only."""
    return Cityscapes("cityscapes", CityscapesParams(sequences=False, **values))


def files(folder) -> list[str]:
    """Files below a folder, without the locks, which stay."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return sorted(path.relative_to(folder).as_posix() for path in found)


def fails(match: str, agreed: bool = True, **values) -> None:
    """One line; the account is nowhere in it, nor in what it is chained to."""
    with pytest.raises(UserError, match=match) as caught:
        source(**values).fetch(agreed)
    assert "\n" not in str(caught.value)
    error, chain = caught.value, ""
    while error is not None:
        chain += f"{error!r}{vars(error)}"
        error = error.__cause__ or error.__context__
    assert not any(text in chain for text in (SECRET, USER, COOKIE))


def test_the_packages_that_are_needed_are_fetched(site, stored, capsys, tmp_path):
    assert source().location.find() is None
    folder = source().fetch(True)
    assert folder == source().location.find() == tmp_path / "data" / "cityscapes"
    assert files(tmp_path / "data") == [f"cityscapes/{name}" for name in sorted(NAMES)]
    assert all((folder / name).read_text() == content for name, content in NAMES.items())
    assert [frame.split for frame in source().list(folder, tmp_path, 1).frames] == ["train", "test"]
    assert site.served == [("1", None), ("3", None)] and site.asked.count("POST /login") == 1
    printed = capsys.readouterr()
    assert f"Cityscapes: {FINE}, about 241 MB\nCityscapes: {STILL}, about 11 GB\n" in printed.err
    # The closing line of the command is alone on stdout, and csDownload's bar does not fill a log.
    assert printed.out == "" and "Download progress" not in printed.err
    # Nothing is missing, so nobody is asked.
    assert source().fetch(False) == folder and len(site.served) == 2


def test_missing_packages_are_added_to_what_was_fetched(site, stored, tmp_path):
    folder = source().fetch(True)
    site.files["4"] = (EXTRA, package("leftImg8bit", "leftImg8bit.png", ("train_extra",)))
    assert source(extra=True).fetch(True) == folder
    assert [number for number, _ in site.served] == ["1", "3", "4"]
    extra = "leftImg8bit/train_extra/ulm/ulm_000000_000019_leftImg8bit.png"
    assert files(tmp_path / "data") == [f"cityscapes/{name}" for name in sorted([*NAMES, extra])]


def test_csdownload_asks_for_the_account_on_a_terminal(site, monkeypatch, tmp_path):
    from cityscapesscripts.download import downloader

    monkeypatch.setattr(sys, "stdin", Terminal(f"y\n{USER}\nn\n"))
    monkeypatch.setattr(downloader.getpass, "getpass", lambda _: SECRET)
    source().fetch(False)
    assert len(site.served) == 2 and not list(tmp_path.rglob("credentials.json"))


@pytest.mark.parametrize(
    ("answers", "account", "message"),
    [
        (None, False, "no Cityscapes account and no terminal to ask for it: run csDownload -l once"),
        (None, True, r"Cityscapes: about 11\.2 GB would be downloaded to .*; agree with --yes"),
        ("no\n", True, "not agreed, so nothing is downloaded; name its folder"),
        ("y\n", False, r"csDownload failed \(EOFError: .*\); delete .*credentials\.json .* run csDownload -l"),
    ],
)
def test_without_agreement_or_account_the_site_is_not_asked(
    site, monkeypatch, tmp_path, request, answers, account, message
):
    if account:
        request.getfixturevalue("stored")
    monkeypatch.setattr(sys, "stdin", Terminal(answers or "", terminal=answers is not None))
    fails(message, agreed=False)
    assert not site.asked and files(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{"username": "{USER}", "password": "wrong"}}', r"\(Exception: Bad credentials\.\)"),
        (f'{{"username": "{USER}', r"\(JSONDecodeError: .*\)"),
    ],
)
def test_a_wrong_account_is_one_line(site, stored, content, message):
    stored.write_text(content)
    fails(rf"csDownload failed {message}; delete {stored} if it exists, and run csDownload -l to store an account$")
    assert not site.served
    # csDownload forgets what the site refuses; it is not sent twice.
    assert site.asked.count("POST /login") == (not stored.exists())


@pytest.mark.parametrize("page", ["/login", "/downloads/", "/md5-sum/", "/file-handling/"])
def test_a_busy_site_is_one_line_and_the_next_run_goes_on(site, stored, page):
    site.broken = page
    fails(r"csDownload failed \(HTTPError: 503 Server Error.*\); run the command again to resume$")
    site.broken = ""
    source().fetch(True)
    assert [number for number, _ in site.served] == ["1", "3"]


def test_a_dead_connection_is_left(site, stored, monkeypatch):
    monkeypatch.setattr(packages, "TIMEOUT", 0.2)
    site.silent = "/md5-sum/"
    fails(r"csDownload failed \(ReadTimeout: ")


def test_a_package_that_the_account_may_not_have(site, stored):
    fails(rf"^{EXTRA}: not open to this Cityscapes account; ask for it at", extra=True)
    assert not site.served


def test_too_little_space(site, stored, monkeypatch):
    usage = type("Usage", (), {"free": 22_341_000_000 - 1})
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage)
    fails(r"needs 22\.2 GB plus 100 MB in reserve, but only 22\.3 GB is free")
    assert not site.asked


def test_an_interrupted_download_goes_on_where_it_stopped(site, stored, tmp_path):
    site.cuts = [3000]  # csDownload writes 1024 bytes at a time
    fails(r"csDownload failed \(ChunkedEncodingError: ")
    assert not (tmp_path / "data" / "cityscapes").exists()
    source().fetch(True)
    # The last byte is asked for again: for a complete file there would be no other.
    assert site.served == [("1", None), ("1", "bytes=2047-"), ("3", None)]
    assert not list((tmp_path / "data").glob("*.part"))


def test_a_complete_archive_whose_sum_was_not_compared_is_resumed(site, stored, tmp_path):
    part = tmp_path / "data" / "cityscapes.part"
    part.mkdir(parents=True)
    content = site.files["1"][1]
    (part / FINE).write_bytes(content)
    source().fetch(True)
    assert site.served == [("1", f"bytes={len(content) - 1}-"), ("3", None)]


@pytest.mark.parametrize("change", ["sum", "content"])
def test_a_wrong_sum_ends_the_run_and_the_next_one_starts_over(site, stored, tmp_path, change):
    if change == "sum":
        site.sums[STILL] = "0" * 32
    else:
        # The archive changed since the first part of it came.
        part = tmp_path / "data" / "cityscapes.part"
        part.mkdir(parents=True)
        (part / STILL).write_bytes(b"old content")
    fails(r"csDownload failed \(Exception: MD5 sum of downloaded file does not match")
    assert [number for number, _ in site.served] == ["1", "3"]
    site.sums.clear()
    source().fetch(True)
    # What was complete is not fetched again.
    assert site.served[2:] == [("3", None)]


def test_an_archive_without_its_folders(site, stored):
    site.files["3"] = (STILL, package("leftImg8bit", "leftImg8bit.png", ("train", "val")))
    fails("holds no leftImg8bit/test; delete it")


def test_offline(site, stored, monkeypatch):
    monkeypatch.setenv("ETC_OFFLINE", "1")
    fails(rf"ETC_OFFLINE forbids .* download {FINE}, {STILL} from {packages.PAGE} .* unpack in there: gtFine/train, ")
    assert not site.asked


def test_the_tool_is_not_installed(site, monkeypatch):
    monkeypatch.setitem(sys.modules, "cityscapesscripts.download.downloader", None)
    fails("pip install cityscapesscripts$", agreed=False)


def _fetch(log):
    sys.stderr = open(log, "w", buffering=1)  # noqa: SIM115, for the life of the process
    source().fetch(True)


@pytest.mark.parametrize("there", [False, True])
def test_two_processes_fetch_once(site, stored, tmp_path, there):
    """From nothing, or with one package already there."""
    if there:
        made = source().fetch(True)
        shutil.rmtree(made / "leftImg8bit")
        site.served.clear()
        site.asked.clear()
    site.gate.clear()
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    children = [multiprocessing.get_context("fork").Process(target=_fetch, args=(log,)) for log in logs]
    for child in children:
        child.start()
    # The first file is held back until one of them waits for the other: they do meet.
    deadline = time.monotonic() + 60
    while not any(log.exists() and "waiting for another process" in log.read_text() for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    site.gate.set()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0], [log.read_text() for log in logs]
    assert site.served == [("1", None), ("3", None)][there:] and site.asked.count("POST /login") == 1
    assert files(tmp_path / "data") == [f"cityscapes/{name}" for name in sorted(NAMES)]
