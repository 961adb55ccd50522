"""The site: the notebook runs, the page of parameters has every key that ships, and all links lead somewhere."""

import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/measure.ipynb"


def run_notebook(model=None, video=None):
    """What each cell of code prints, beside what the notebook says it prints."""
    space, found = {}, []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            source = source.replace("MODEL = None", f"MODEL = {model!r}").replace("VIDEO = None", f"VIDEO = {video!r}")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(source, space)
            said = "".join(line for output in cell["outputs"] for line in output["text"])
            found.append((printed.getvalue(), said))
    return found


def figures(text):
    return [float(one) for one in re.findall(r"-?\d+\.\d+", text)]


def test_the_notebook_prints_what_it_says():
    cells = run_notebook()
    assert len(figures(cells[-2][0])) == 4
    for printed, said in cells:
        # Other versions of torch and NumPy may round otherwise.
        assert figures(printed) == pytest.approx(figures(said), abs=3)


def test_the_notebook_measures_an_onnx_file_on_a_video(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "network.onnx"
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    torch.onnx.export(network, (torch.rand(1, 3, 32, 64),), file, dynamo=True)
    video = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 15, (64, 48))
    for picture in np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8):
        video.write(picture)
    video.release()
    printed = run_notebook(str(file), str(tmp_path / "drive.mp4"))[-2][0]
    assert len(figures(printed)) == 3 and 0 < figures(printed)[0] < 100


def test_the_notebook_measures_a_model_of_hugging_face(tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "num_attention_heads": [1, 2, 2, 2]}
    config = transformers.SegformerConfig(**sizes, decoder_hidden_size=16, num_labels=4)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 128}).save_pretrained(tmp_path)
    printed = run_notebook(str(tmp_path))[-2][0]
    assert 0 < figures(printed)[0] < 100


@pytest.fixture(scope="module")
def hooks():
    for package in ("mkdocs", "latex2mathml", "mmdr"):
        pytest.importorskip(package, reason="the extra 'docs' is not installed")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(block, above=""):
    for key, value in block.items():
        if isinstance(value, dict) and key not in ("widths", "schemes", "iterations_factor", "pseudo_shares"):
            yield from keys(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def test_every_key_that_ships_is_on_the_page_of_parameters(hooks):
    sections = dict(re.findall(r"^## (\S+\.yaml)\n(.*?)(?=^## |\Z)", hooks.parameters(), re.MULTILINE | re.DOTALL))
    files = sorted((ROOT / "params").glob("*.yaml"))
    assert sorted(sections) == [file.name for file in files]
    for file in files:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        blocks = [content] if file.name == "experiment.yaml" else [content[name] for name in content if name[0] != "."]
        for key in {one for block in blocks for one in keys(block)}:
            (row,) = re.findall(rf"^\| `{re.escape(key)}` .*", sections[file.name], re.MULTILINE)[:1]
            cells = row.strip("| ").split(" | ")
            assert len(cells) == 6 or "enum" in row, row


def test_units_of_parameters_are_told(hooks):
    rows = [row.strip("| ").split(" | ") for row in hooks.parameters().splitlines() if row.startswith("| `")]
    units = {cells[0].strip("`"): cells[2] for cells in rows}
    expected = {"training.augment.crop": "pixels", "rate": "frames a second", "speed": "metres per frame"}
    assert expected.items() <= units.items()
    assert units["tl"] == units["seeds"] == units["format"] == ""


def test_the_site_is_built_without_a_broken_link(hooks, tmp_path, monkeypatch):
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        # Nothing is loaded from elsewhere, and no formula is left as TeX.
        assert not re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?https?://""", text), page
        assert 'class="arithmatex"' not in text and "$<math" not in text and 'class="mermaid"' not in text, page
        # Python-Markdown needs a blank line before a list, GitHub does not.
        assert not re.search(r"<p>[^<]*\n(- |1\. )", text), page
    assert (tmp_path / "search/search_index.js").is_file()
