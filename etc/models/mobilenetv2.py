"""MobileNetV2 (Sandler et al., CVPR 2018) with the light head R-ASPP of the same paper.

The output stride is 16, as in the published segmentation network that this is (Howard et al., ICCV 2019, table 7: V2,
R-ASPP, 256 filters), so that its figures can be compared; half of it would cost four times as much in the last layers.
Names of the parameters and the arithmetic of ``backbone`` are those of torchvision's ``mobilenet_v2``. Where that
halves the map to 1/32, this one keeps the size and dilates the following layers, so that with the same weights every
second pixel of this map is exactly a pixel of torchvision's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etc.models.dropout import Dropout2d
from etc.models.layers import DROPOUT, Normalise, conv_bn_relu, initialise, scaled
from etc.models.output import Output, require_several

# Expansion, channels, blocks, stride and dilation of the first depth-wise convolution, dilation of the later ones.
STAGES = (
    (1, 16, 1, 1, 1, 1),
    (6, 24, 2, 2, 1, 1),
    (6, 32, 3, 2, 1, 1),
    (6, 64, 4, 2, 1, 1),
    (6, 96, 3, 1, 1, 1),
    (6, 160, 3, 1, 1, 2),  # torchvision: stride 2
    (6, 320, 1, 1, 2, 2),
)
STEM, HEAD = 32, 256


class InvertedResidual(nn.Module):
    """1x1 convolution that widens, depth-wise 3x3, 1x1 that narrows; added to its input where the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        widen = [_conv_bn_relu6(inputs, hidden, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            _conv_bn_relu6(hidden, hidden, 3, stride, dilation, groups=hidden),
            nn.Conv2d(hidden, outputs, kernel_size=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2Features(nn.Module):
    """All layers but the last, which is four times as wide and was made for 1000 classes.

    Args:
        width: 64 is the published network, 32 torchvision's ``width_mult`` of 0.5.
    """

    left_out = ("features.18.", "classifier.")

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.channels = scaled(STEM, width)
        layers: list[nn.Module] = [_conv_bn_relu6(3, self.channels, 3, stride=2)]
        for expansion, channels, count, stride, first, later in STAGES:
            for number in range(count):
                outputs = scaled(channels, width)
                step = (stride, first) if number == 0 else (1, later)
                layers.append(InvertedResidual(self.channels, outputs, expansion, *step))
                self.channels = outputs
        self.features = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to (B, channels, ceil(H/16), ceil(W/16))."""
        return self.features(image)


class ReducedASPP(nn.Module):
    """R-ASPP: the projected map and its projected mean over the image are concatenated and projected again.

    Args:
        inputs: channels of the map.
        outputs: channels of each projection and of the result.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.local = conv_bn_relu(inputs, outputs, 1)
        self.whole = conv_bn_relu(inputs, outputs, 1)
        self.project = conv_bn_relu(2 * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, outputs, h, w)."""
        local = self.local(x)
        whole = self.whole(F.adaptive_avg_pool2d(x, 1)).expand_as(local)
        return self.project(torch.cat([local, whole], dim=1))


class MobileNetV2(nn.Module):
    """MobileNetV2 with R-ASPP, output stride 16.

    Args:
        classes: number of classes.
        width: 64 is the published network; other widths scale all channels, to multiples of 8.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.backbone = MobileNetV2Features(width)
        features = scaled(HEAD, width)
        self.head = ReducedASPP(self.backbone.channels, features)
        self.dropout = Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(features, classes, kernel_size=1)
        initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Segment a batch, see :mod:`etc.models.output`; no auxiliary head."""
        require_several(image, self.training)
        features = self.head(self.backbone(self.normalise(image)))
        return Output(self.classifier(self.dropout(features)), features)


def _conv_bn_relu6(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = kernel // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )
