"""MobileNetV2 against torchvision's, strided and written with functions; the head written out."""

import pytest
import torch

from etc.models.layers import scaled
from etc.models.mobilenetv2 import MobileNetV2Features, ReducedASPP
from tests.models.build import shake
from tests.models.functional import conv, conv_norm, norm

# Expansion, blocks and stride as in table 2 of the paper.
TABLE = ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1))


def strided(state, image):
    """torchvision's features.0 ... features.17 in evaluation mode, output stride 32."""
    x = conv_norm(state, image, "features.0", 2).clamp(0, 6)
    number = 0
    for expansion, count, first in TABLE:
        for block in range(count):
            number += 1
            stride = first if block == 0 else 1
            name, part, y = f"features.{number}.conv", 0, x
            if expansion > 1:
                y = conv_norm(state, y, f"{name}.0").clamp(0, 6)
                part = 1
            y = conv_norm(state, y, f"{name}.{part}", stride).clamp(0, 6)
            y = norm(state, conv(state, y, f"{name}.{part + 1}"), f"{name}.{part + 2}")
            x = x + y if stride == 1 and y.shape == x.shape else y
    return x


@pytest.mark.parametrize("width", [64, 16])
def test_every_second_pixel_is_that_of_the_strided_network(width):
    network = shake(MobileNetV2Features(width)).double().eval()
    image = torch.randn(1, 3, 101, 133, dtype=torch.float64)
    with torch.no_grad():
        own, expected = network(image), strided(network.state_dict(), image)
    assert own.shape[-2:] == (7, 9)
    torch.testing.assert_close(own[..., ::2, ::2], expected)
    assert expected.std() > 0


def test_channels_of_other_widths_are_those_of_torchvision():
    """width_mult 1.4, 1, 0.75, 0.5, 0.35 of the stem, the third block and the last, by its rule of 8 and 90 %."""
    expected = {64: (32, 24, 320), 48: (24, 24, 240), 32: (16, 16, 160), 16: (8, 8, 80), 96: (48, 40, 480)}
    for width, channels in expected.items():
        assert tuple(scaled(count, width) for count in (32, 24, 320)) == channels


def test_head_puts_the_mean_of_the_image_beside_every_pixel():
    head = shake(ReducedASPP(5, 3)).double().eval()
    state = head.state_dict()
    x = torch.rand(2, 5, 4, 6, dtype=torch.float64)
    mean = x.mean((2, 3), keepdim=True)
    both = [conv_norm(state, y, name).relu() for y, name in ((x, "local"), (mean, "whole"))]
    expected = conv_norm(state, torch.cat([both[0], both[1].expand(2, 3, 4, 6)], 1), "project").relu()
    with torch.no_grad():
        torch.testing.assert_close(head(x), expected)
