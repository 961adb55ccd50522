"""The page in headless Chromium, as wide as a screen and as a phone: structure, errors, sorting, choice of clips."""

import html
import json
import re
import shutil
import subprocess

import pytest

from etc.stages import report
from tests.reporting import world

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
WATCH = """<script>
window.failed = [];
addEventListener("error", event => failed.push(event.message || event.target.src), true);
</script>"""
PROBE = """
<iframe src="watched.html" width="{width}" height="900"></iframe>
<pre></pre>
<script>
const look = () => {{
  const inner = document.querySelector("iframe").contentWindow, page = inner.document, found = {{failed: inner.failed}};
  const texts = selector => [...page.querySelectorAll(selector)].map(one => one.textContent.trim());
  found.wide = page.documentElement.scrollWidth > page.documentElement.clientWidth;
  found.found = texts(".found li");
  found.headings = texts("h2");
  found.pictures = [...page.images].map(one => one.getAttribute("width"));
  found.rows = texts(".main td:first-child");
  const head = [...page.querySelectorAll(".main th")].find(one => one.textContent === "TC");
  head.click();
  found.falling = texts(".main td:first-child");
  head.click();
  found.rising = texts(".main td:first-child");
  found.first = page.querySelector("video").getAttribute("src");
  page.querySelectorAll(".clip")[1].click();
  found.second = page.querySelector("video").getAttribute("src");
  found.pressed = texts("[aria-pressed=true]");
  document.querySelector("pre").textContent = JSON.stringify(found);
}};
// Its videos may go on loading, so that no event says when the page is there.
setTimeout(look, 1000);
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Folder of the page of a made-up project in which etc has the highest TC, then tl, then the baseline."""
    root = tmp_path_factory.mktemp("page")
    everywhere = (["baseline", "tl"], [0, 1])
    world.make(root, {"plain": everywhere, "distilled": (["etc"], [0, 1]), "ablation": ([], [0])},
               {"baseline": 0.5, "tl": 0.6, "etc": 0.7})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report.run("street")
    return root / "results/street"


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_works(page, width):
    text = (page / "index.html").read_text()
    (page / "watched.html").write_text(text.replace("<head>", f"<head>{WATCH}", 1))
    (page / "probe.html").write_text(PROBE.format(width=width))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command = [CHROMIUM, *options, "--virtual-time-budget=5000", "--dump-dom", f"file://{page}/probe.html"]
    dump = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(html.unescape(re.search(r"<pre>(.+?)</pre>", dump, re.S)[1]))
    assert found["failed"] == [] and not found["wide"]
    steadier, right, cost = found["found"]
    assert steadier.startswith("etc has higher temporal consistency than baseline, ")
    assert right.startswith("It is more often right: mIoU ") and "nothing is added when it runs" in cost
    order = ["Differences to the baseline", "Quality against consistency", "All schemes", "What each term is worth"]
    assert found["headings"][:4] == order
    assert {"Class by class", "Clip by clip", "Consecutive frames", "Loss curves", "Where this comes from"} <= set(
        found["headings"]
    )
    assert all(int(one) > 200 for one in found["pictures"]) and len(found["pictures"]) == 7
    assert found["rows"] == ["baseline", "tl", "etc"]
    assert found["falling"] == ["etc", "tl", "baseline"] and found["rising"] == ["baseline", "tl", "etc"]
    assert (found["first"], found["second"]) == tuple(f"video/{clip}.mp4" for clip in world.SHOWN)
    assert found["pressed"] == [world.SHOWN[1]]
