"""HRNet against the authors' names and order of operations, written with functions."""

import torch
import torch.nn.functional as F

from etc.models.hrnet import HRNet, HRNetSegmenter
from tests.models.build import shake
from tests.models.functional import conv, conv_norm, norm

# Modules of the stages with 2, 3 and 4 resolutions, in the authors' configuration
# cls_hrnet_w18_small_v2: two blocks a branch.
STAGES = {2: 1, 3: 3, 4: 2}


def resized(x, like):
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def block(state, x, name, convolutions):
    y = x
    for k in range(1, convolutions + 1):
        y = norm(state, conv(state, y, f"{name}.conv{k}"), f"{name}.bn{k}")
        y = y.relu() if k < convolutions else y
    if f"{name}.downsample.0.weight" in state:
        x = conv_norm(state, x, f"{name}.downsample")
    return (x + y).relu()


def exchange(state, maps, name):
    for k, _ in enumerate(maps):
        for number in range(2):
            maps[k] = block(state, maps[k], f"{name}.branches.{k}.{number}", 2)
    fused = []
    for target, own in enumerate(maps):
        total = torch.zeros_like(own)
        for source, x in enumerate(maps):
            prefix = f"{name}.fuse_layers.{target}.{source}"
            if source > target:
                x = resized(conv_norm(state, x, prefix), own)
            for step in range(target - source):
                x = conv_norm(state, x, f"{prefix}.{step}", 2)
                x = x.relu() if step < target - source - 1 else x
            total = total + x
        fused.append(total.relu())
    return fused


def backbone(state, image):
    x = norm(state, conv(state, image, "conv1", 2), "bn1").relu()
    x = norm(state, conv(state, x, "conv2", 2), "bn2").relu()
    for number in range(2):
        x = block(state, x, f"layer1.{number}", 3)
    maps = [
        conv_norm(state, x, "transition1.0").relu(),
        conv_norm(state, x, "transition1.1.0", 2).relu(),
    ]
    for resolutions, modules in STAGES.items():
        if resolutions > 2:
            name = f"transition{resolutions - 1}.{resolutions - 1}.0"
            maps.append(conv_norm(state, maps[-1], name, 2).relu())
        for number in range(modules):
            maps = exchange(state, maps, f"stage{resolutions}.{number}")
    return maps


def test_backbone_computes_what_the_names_say():
    network = shake(HRNet(8)).double().eval()
    image = torch.randn(1, 3, 77, 101, dtype=torch.float64)
    with torch.no_grad():
        own, expected = network(image), backbone(network.state_dict(), image)
    assert [tuple(x.shape[-2:]) for x in own] == [(20, 26), (10, 13), (5, 7), (3, 4)]
    for one, other in zip(own, expected, strict=True):
        torch.testing.assert_close(one, other)
        assert one.std() > 0


def test_channels_of_the_published_network():
    assert HRNet(64).channels == [18, 36, 72, 144]


def test_head_sees_all_resolutions():
    network = shake(HRNetSegmenter(3, 8)).double().eval()
    state = network.state_dict()
    image = torch.rand(1, 3, 50, 66, dtype=torch.float64)
    with torch.no_grad():
        maps = network.backbone(network.normalise(image))
        expected = conv_norm(state, torch.cat([resized(x, maps[0]) for x in maps], 1), "head").relu()
        torch.testing.assert_close(network(image).features, expected)
