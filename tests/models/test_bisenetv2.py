"""BiSeNetV2 against the layer tables of its paper, and its own layers written with functions."""

import pytest
import torch
import torch.nn.functional as F

from etc.models.bisenetv2 import BiSeNetV2, ContextEmbedding, GatherExpand, GuidedAggregation
from tests.models.build import on_meta, seeded, shake
from tests.models.functional import conv, conv_norm, norm


def conv_bn(inputs, outputs, kernel, groups=1):
    """Parameters of a convolution without bias and of its batch normalisation."""
    return kernel**2 * inputs // groups * outputs + 2 * outputs


def gather_expand(inputs, outputs, stride):
    hidden = 6 * inputs
    count = conv_bn(inputs, inputs, 3) + conv_bn(inputs, hidden, 3, inputs) + conv_bn(hidden, outputs, 1)
    if stride == 2:
        count += conv_bn(hidden, hidden, 3, hidden) + conv_bn(inputs, inputs, 3, inputs) + conv_bn(inputs, outputs, 1)
    return count


def size(module):
    return sum(x.numel() for x in module.parameters())


def test_branches_have_the_layers_of_table_1():
    """Kernel, channels and repetitions of the detail and the semantic branch (Yu et al., IJCV 2021, table 1)."""
    backbone = on_meta("bisenetv2").backbone
    detail = [(3, 64), (64, 64), (64, 64), (64, 64), (64, 64), (64, 128), (128, 128), (128, 128)]
    assert size(backbone.detail) == sum(conv_bn(*layer, 3) for layer in detail)
    stem = conv_bn(3, 16, 3) + conv_bn(16, 8, 1) + conv_bn(8, 16, 3) + conv_bn(32, 16, 3)
    assert size(backbone.stem) == stem
    layers = [[(16, 32, 2), (32, 32, 1)], [(32, 64, 2), (64, 64, 1)], [(64, 128, 2), *[(128, 128, 1)] * 3]]
    assert [size(stage) for stage in backbone.stages] == [sum(gather_expand(*each) for each in row) for row in layers]
    assert size(backbone.context) == 2 * 128 + conv_bn(128, 128, 1) + conv_bn(128, 128, 3)


def test_boosters_have_strides_4_to_32():
    output = seeded("bisenetv2").train()(torch.rand(2, 3, 64, 96))
    assert [tuple(head.shape[-2:]) for head in output.auxiliary] == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_boosters_are_not_part_of_the_backbone():
    network = BiSeNetV2(3, 8)
    backbone = {id(parameter) for parameter in network.backbone.parameters()}
    assert backbone.isdisjoint(map(id, network.auxiliary.parameters()))


@pytest.mark.parametrize("stride", [1, 2])
def test_gather_and_expansion(stride):
    layer = shake(GatherExpand(3, 3 if stride == 1 else 5, stride)).double().eval()
    state = layer.state_dict()
    image = x = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    y = conv_norm(state, x, "residual.0").relu()
    # Convolutions and normalisations alternate; a second depth-wise pair stands between the first and the last.
    place = 1
    for step in (stride, 1)[:stride]:
        y = norm(state, conv(state, y, f"residual.{place}", step), f"residual.{place + 1}")
        place += 2
    y = norm(state, conv(state, y.relu(), f"residual.{place + 1}"), f"residual.{place + 2}")
    if stride == 2:
        x = norm(state, conv(state, x, "shortcut.0", 2), "shortcut.1")
        x = norm(state, conv(state, x, "shortcut.2"), "shortcut.3")
    with torch.no_grad():
        torch.testing.assert_close(layer(image), (x + y).relu())


def test_context_is_added_to_every_pixel():
    layer = shake(ContextEmbedding(4)).double().eval()
    state = layer.state_dict()
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    whole = conv_norm(state, norm(state, x.mean((2, 3), keepdim=True), "bn"), "whole").relu()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), conv_norm(state, x + whole, "fuse").relu())


def test_each_branch_opens_the_gates_of_the_other():
    layer = shake(GuidedAggregation(4)).double().eval()
    state = layer.state_dict()
    detail, semantic = (torch.randn(2, 4, *size, dtype=torch.float64) for size in ((9, 14), (3, 4)))
    kept, gates = (
        conv(state, conv_norm(state, x, f"{name}_kept"), f"{name}_kept.2")
        for x, name in ((detail, "detail"), (semantic, "semantic"))
    )
    up = conv_norm(state, semantic, "semantic_enlarged")
    fine = kept * F.interpolate(up, size=(9, 14), mode="bilinear", align_corners=False).sigmoid()
    reduced = F.avg_pool2d(conv_norm(state, detail, "detail_reduced", 2), 3, 2, 1)
    coarse = F.interpolate(reduced * gates.sigmoid(), size=(9, 14), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(layer(detail, semantic), conv_norm(state, fine + coarse, "fuse").relu())
