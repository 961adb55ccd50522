"""Two processes that fetch Cityscapes at the same time."""

import subprocess
import sys
import time

import pytest

from tests.sources.cityscapes_site import files, source

pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")

# What the fixture `site` does in this process, as a program.
_PROGRAM = """
import sys
import requests
from etc.sources.cityscapes import account
from tests.sources.cityscapes_site import source

class Session(requests.Session):
    def request(self, method, url, *arguments, **options):
        return super().request(method, url.replace(real, account.SITE), *arguments, **options)

real, account.SITE = account.SITE, sys.argv[1]
requests.Session = Session
print(source().fetch(True))
"""


@pytest.mark.parametrize("there", [False, True])
def test_two_processes_fetch_once(site, variables, tmp_path, there):
    folder = tmp_path / "data" / "cityscapes"
    if there:
        # One package is there already, so the other joins it instead of making a folder.
        source().fetch(True)
        (folder / "leftImg8bit").rename(tmp_path / "aside")
        site.served.clear()
        site.asked.clear()
    wanted = ["3"] if there else ["1", "3"]
    site.gate.clear()
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    children = []
    try:
        for log in logs:
            with open(log, "w") as stream:
                command = [sys.executable, "-c", _PROGRAM, site.url]
                children.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True))
        # The first file is held back until one of them waits for the other: they do meet.
        deadline = time.monotonic() + 60
        while not any("waiting for another process" in log.read_text() for log in logs):
            assert time.monotonic() < deadline and not any(child.poll() for child in children), logs[0].read_text()
            time.sleep(0.02)
        site.gate.set()
        printed = [child.communicate(timeout=60)[0] for child in children]
    finally:
        site.gate.set()
        for child in children:
            child.kill()
            child.wait()
    assert [child.returncode for child in children] == [0, 0], [log.read_text() for log in logs]
    assert [text.strip() for text in printed] == [str(folder)] * 2
    assert site.served == [(number, None) for number in wanted]
    # Who has waited finds all there and asks the site for nothing.
    assert site.asked.count("POST /login") == 1 and site.asked.count("GET /md5-sum/") == len(wanted)
    assert sum("waiting for another process" in log.read_text() for log in logs) == 1
    names = {
        f"{kind}/{split}/{city}/{city}_000000_000019_{ending}": f"{split} {ending}" * 50
        for kind, ending in (("gtFine", "gtFine_labelIds.png"), ("leftImg8bit", "leftImg8bit.png"))
        for split, city in (("test", "bonn"), ("train", "ulm"), ("val", "munster"))
    }
    assert files(tmp_path / "data") == [f"cityscapes/{name}" for name in sorted(names)]
    assert all((folder / name).read_text() == content for name, content in names.items())
