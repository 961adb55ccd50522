"""Dilated ResNet (He et al., CVPR 2016) with output stride 8, the backbone of PSPNet.

Names of the parameters and the arithmetic are those of torchvision's ``resnet18`` ... ``resnet101``: 7x7 stem, stride
in the 3x3 convolution. Where torchvision's layer3 and layer4 halve the map, these keep the size and dilate the
following layers, so that with the same weights every fourth pixel of this layer4 is exactly a pixel of torchvision's.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class Stages(NamedTuple):
    """Feature maps of the last two layers, both (B, channels, ceil(H/8), ceil(W/8))."""

    layer3: Tensor
    layer4: Tensor


# The most channels that oneDNN computes together (AVX-512).
_CHANNEL_BLOCK = 16


class NarrowProjection(nn.Conv2d):
    """1x1 convolution that applies its stride by dropping pixels first, with the same result.

    The backward pass of oneDNN 3.12 writes past a buffer when a strided 1x1 convolution has fewer input channels than a
    block and channels-last maps (uxlfoundation/oneDNN, issue 6035): crashes and wrong gradients.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(x[..., ::rows, ::columns], self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the first may have a stride, and the two may have different dilations."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, planes, stride, dilations[0])
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, 1, dilations[1])
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions; stride and dilation are in the 3x3."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, stride, dilations[0])
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


Block = type[BasicBlock] | type[Bottleneck]
BLOCKS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """ResNet of 18, 34, 50 or 101 layers without its classifier.

    Args:
        depth: a key of ``BLOCKS``.
        width: channels of the stem and planes of layer1; 64 is the published network.
    """

    left_out = ("fc.",)

    def __init__(self, depth: int, width: int = 64) -> None:
        super().__init__()
        block, counts = BLOCKS[depth]
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        expansion = block.expansion
        self.layer1 = _layer(block, width, width, counts[0], 1, (1, 1))
        self.layer2 = _layer(block, width * expansion, 2 * width, counts[1], 2, (1, 1))
        self.layer3 = _layer(block, 2 * width * expansion, 4 * width, counts[2], 1, (1, 2))
        self.layer4 = _layer(block, 4 * width * expansion, 8 * width, counts[3], 1, (2, 4))
        self.channels = (4 * width * expansion, 8 * width * expansion)

    def forward(self, image: Tensor) -> Stages:
        """Features of normalised images (B, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        layer3 = self.layer3(self.layer2(self.layer1(x)))
        return Stages(layer3, self.layer4(layer3))


def _layer(
    block: Block, inputs: int, planes: int, count: int, stride: int, dilations: tuple[int, int]
) -> nn.Sequential:
    """Blocks at one resolution. The convolution that has torchvision's stride gets the first dilation, all later ones
    the second.

    A stride of 1 with dilations (d, 2d) replaces a stride of 2.
    """
    before, after = dilations
    first = block(inputs, planes, stride, (before, after))
    rest = [block(planes * block.expansion, planes, 1, (after, after)) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


def _conv3x3(inputs: int, outputs: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=dilation, dilation=dilation, bias=False)


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The shortcut's 1x1 convolution in the first block of a layer; None if the shapes are equal.

    layer3 and layer4 always widen, so the stride that they replace makes no difference here.
    """
    if stride == 1 and inputs == outputs:
        return None
    convolution = NarrowProjection if inputs < _CHANNEL_BLOCK else nn.Conv2d
    return nn.Sequential(
        convolution(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
    )
