"""Exported files compute what the network computes, and carry its classes."""

import json
import re
import shutil
import sys

import pytest
import torch
import torch.nn.functional as F

from etc.core.errors import UserError
from etc.core.files import os_errors_in_one_line
from etc.core.outputs import check_files
from etc.export import Segmenter, export, is_export
from etc.models import weights
from tests.models.build import seeded, shake

NAMES, PALETTE = ["road", "sky", "car"], [[128, 64, 128], [70, 130, 180], [0, 0, 142]]
SIZE = (40, 56)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a small network."""
    folder = tmp_path_factory.mktemp("run")
    network = shake(seeded("mobilenetv2", classes=3))
    config = {"architecture": "mobilenetv2", "classes": 3, "width": 8, "class_names": NAMES, "palette": PALETTE}
    weights.save(folder, network, config)
    return folder


@pytest.fixture
def expected(run):
    """An image and the scores of its pixels."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, *SIZE)
    network, _ = weights.load(run)
    with torch.no_grad():
        logits = network(image).logits
    return image, F.interpolate(logits, size=SIZE, mode="bilinear", align_corners=False)


def test_program_computes_the_same(run, expected, tmp_path):
    line = export(run, tmp_path / "network.pt2", SIZE)
    assert str(tmp_path / "network.pt2") in line and "40 x 56" in line
    metadata = {"class_names": "", "architecture": ""}
    program = torch.export.load(tmp_path / "network.pt2", extra_files=metadata)
    image, scores = expected
    torch.testing.assert_close(program.module()(image), scores)
    assert json.loads(metadata["class_names"]) == NAMES
    assert json.loads(metadata["architecture"]) == "mobilenetv2"
    check_files({tmp_path / "network.pt2": is_export})


def test_onnx_computes_the_same(run, expected, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    line = export(run, tmp_path / "network.onnx", SIZE)
    assert re.search(r"40 x 56 \(ONNX, opset 20, .*; by onnxruntime, its scores differ by up to \d\S*, of up to", line)
    session = runtime.InferenceSession(str(tmp_path / "network.onnx"))
    image, scores = expected
    (computed,) = session.run(["scores"], {"image": image.numpy()})
    torch.testing.assert_close(torch.from_numpy(computed), scores, rtol=1e-4, atol=1e-5)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == NAMES and json.loads(metadata["palette"]) == PALETTE
    check_files({tmp_path / "network.onnx": is_export})


def test_a_network_that_does_not_say_its_colours_gets_some(run, tmp_path):
    shutil.copytree(run, tmp_path / "old")
    config = json.loads((tmp_path / "old/config.json").read_text())
    del config["palette"]
    (tmp_path / "old/config.json").write_text(json.dumps(config))
    export(tmp_path / "old", tmp_path / "network.pt2", SIZE)
    metadata = {"palette": ""}
    torch.export.load(tmp_path / "network.pt2", extra_files=metadata)
    assert len({tuple(one) for one in json.loads(metadata["palette"])}) == 3


@pytest.mark.parametrize(
    ("architecture", "suffix"), [("mobilenetv2", ".onnx"), ("hrnet_w18_small", ".pt2"), ("efficientnet_lite0", ".pt2")]
)
def test_the_size_can_be_left_open(tmp_path, architecture, suffix):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
        runtime = pytest.importorskip("onnxruntime")
    network = shake(seeded(architecture, classes=3))
    config = {"architecture": architecture, "classes": 3, "width": 8, "class_names": NAMES, "palette": PALETTE}
    weights.save(tmp_path / "run", network, config)
    line = export(tmp_path / "run", tmp_path / f"network{suffix}", (224, 256), dynamic=True)
    assert "all sizes from 224 x 224 on in steps of 32" in line
    if suffix == ".pt2":
        compute = torch.export.load(tmp_path / "network.pt2").module()
    else:
        session = runtime.InferenceSession(str(tmp_path / "network.onnx"))

        def compute(image):
            return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    network = network.eval()
    for size in ((224, 224), (288, 352)):
        image = torch.rand(1, 3, *size)
        with torch.no_grad():
            scores = F.interpolate(network(image).logits, size=size, mode="bilinear", align_corners=False)
        torch.testing.assert_close(compute(image), scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(192, 256), (240, 256)])
def test_an_open_size_is_a_multiple_of_32(run, tmp_path, size):
    with pytest.raises(UserError, match=r"images of \d+ x 256; --height and .* multiples of 32 from 224 on"):
        export(run, tmp_path / "network.pt2", size, dynamic=True)


def test_a_file_that_computes_something_else_is_not_written(run, tmp_path, monkeypatch):
    plain = Segmenter.forward
    calls = []

    def forward(self, image):
        calls.append(image)
        return plain(self, image) + (len(calls) > 1)

    monkeypatch.setattr(Segmenter, "forward", forward)
    with pytest.raises(UserError, match="not written, since it computes other scores .*: they differ by up to 1,"):
        export(run, tmp_path / "network.pt2", SIZE)
    assert not list(tmp_path.iterdir())


def test_missing_package_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    # Said before the network is traced, which takes long.
    monkeypatch.setattr("etc.export._traced", None)
    with pytest.raises(UserError, match=r"network.onnx: writing ONNX needs .*pip install 'etc-segmentation\[export\]'"):
        export(run, tmp_path / "network.onnx", SIZE)
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match=r"files that end in \.onnx or \.pt2 can be written"):
        export(tmp_path / "nothing", tmp_path / "network.pth", SIZE)


def test_missing_run_is_named(tmp_path):
    with pytest.raises(UserError, match="config.json: no such file"):
        export(tmp_path / "nothing", tmp_path / "network.pt2", SIZE)


@pytest.mark.parametrize("content", [b"of someone else", b"architecture, width, classes and class_names are my notes"])
@pytest.mark.parametrize("name", ["network.pt2", "network.onnx"])
def test_only_an_earlier_export_is_replaced(run, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: exists and was not made by this command"):
        export(run, tmp_path / name, SIZE)
    (tmp_path / f"link_{name}").symlink_to(run / weights.WEIGHTS)
    with pytest.raises(UserError, match=f"link_{name}: the same as the input"):
        export(run, tmp_path / f"link_{name}", SIZE)
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("size", [(1_000_000, 2048), (2048, 10**40)])
def test_images_that_no_memory_holds_are_refused(run, tmp_path, size):
    with pytest.raises(UserError, match=r"at most 67,108,864 pixels; lower --height or --width"):
        export(run, tmp_path / "network.pt2", size)


def test_too_little_memory_says_what_to_lower(run, tmp_path, monkeypatch):
    def short(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(torch.export, "export", short)
    with pytest.raises(
        UserError, match=r"^the machine has too little memory: lower --height \(40\) or --width \(56\)$"
    ):
        export(run, tmp_path / "network.pt2", SIZE)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named_before_anything_is_computed(run, tmp_path):
    (tmp_path / "network.pt2").mkdir()
    with pytest.raises(UserError, match="network.pt2: this is a folder"), os_errors_in_one_line():
        export(run, tmp_path / "network.pt2", SIZE)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="network.pt2: a file stands in the way"), os_errors_in_one_line():
        export(run, tmp_path / "file" / "network.pt2", SIZE)
