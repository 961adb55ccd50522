"""BiSeNetV2 (Yu et al., IJCV 2021): a shallow, wide detail branch beside a deep, narrow semantic branch.

In training, four booster heads are attached to the semantic branch. The paper trains from random weights, so there are
no ImageNet weights for it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from etc.models.dropout import Dropout2d
from etc.models.layers import DROPOUT, Normalise, auxiliary_head, conv_bn, conv_bn_relu, initialise, resized, scaled
from etc.models.output import Output, require_several

EXPANSION = 6
HEAD, BOOSTER = 1024, 128


class Branches(NamedTuple):
    """Maps of both branches.

    Attributes:
        detail: stride 8.
        semantic: stride 32, with the context of the whole image.
        stages: of the semantic branch, strides 4, 8, 16 and 32, for the boosters.
    """

    detail: Tensor
    semantic: Tensor
    stages: list[Tensor]


class Stem(nn.Module):
    """Two halvings, the second by a convolution and by maximum pooling side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(3, channels, 3, stride=2)
        half = max(8, channels // 2)
        self.convolved = nn.Sequential(conv_bn_relu(channels, half, 1), conv_bn_relu(half, channels, 3, stride=2))
        self.pooled = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.fuse = conv_bn_relu(2 * channels, channels, 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        return self.fuse(torch.cat([self.convolved(x), self.pooled(x)], dim=1))


class GatherExpand(nn.Module):
    """Gather-and-expansion layer: 3x3, depth-wise 3x3 with six times the channels, 1x1, added to the input.

    With stride 2 a second depth-wise convolution follows, and another one brings the input to the new shape.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * EXPANSION
        expand = conv_bn(inputs, hidden, 3, stride, groups=inputs)
        again = conv_bn(hidden, hidden, 3, groups=hidden) if stride == 2 else nn.Sequential()
        self.residual = nn.Sequential(
            conv_bn_relu(inputs, inputs, 3), *expand, *again, nn.ReLU(inplace=True), *conv_bn(hidden, outputs, 1)
        )
        self.shortcut = (
            nn.Sequential(*conv_bn(inputs, inputs, 3, 2, groups=inputs), *conv_bn(inputs, outputs, 1))
            if stride == 2
            else nn.Identity()
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.residual(x) + self.shortcut(x))


class ContextEmbedding(nn.Module):
    """Adds the global context of the image to every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.whole = conv_bn_relu(channels, channels, 1)
        self.fuse = conv_bn_relu(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(x + self.whole(self.bn(x.mean((2, 3), keepdim=True))))


class BilateralBackbone(nn.Module):
    """Both branches.

    Args:
        width: 64 is the published network.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        fine, detail = scaled(64, width), scaled(128, width)
        # Each stage halves; the second and third have one more convolution than the first.
        sizes = [(3, fine, 1), (fine, fine, 2), (fine, detail, 2)]
        self.detail = nn.Sequential(
            *(
                nn.Sequential(
                    conv_bn_relu(inputs, outputs, 3, stride=2),
                    *(conv_bn_relu(outputs, outputs, 3) for _ in range(more)),
                )
                for inputs, outputs, more in sizes
            )
        )
        self.channels = [scaled(channels, width) for channels in (16, 32, 64, 128)]
        self.stem = Stem(self.channels[0])
        self.stages = nn.ModuleList(
            nn.Sequential(
                GatherExpand(inputs, outputs, stride=2),
                *(GatherExpand(outputs, outputs, stride=1) for _ in range(more)),
            )
            for inputs, outputs, more in zip(self.channels[:-1], self.channels[1:], (1, 1, 3), strict=True)
        )
        self.context = ContextEmbedding(self.channels[-1])

    def forward(self, image: Tensor) -> Branches:
        """Normalised images (B, 3, H, W) to the maps of both branches."""
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return Branches(self.detail(image), self.context(maps[-1]), maps)


class GuidedAggregation(nn.Module):
    """Each branch is gated by the other, at both sizes, and the two are added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail_kept = nn.Sequential(
            *conv_bn(channels, channels, 3, groups=channels), nn.Conv2d(channels, channels, 1, bias=False)
        )
        self.detail_reduced = nn.Sequential(
            *conv_bn(channels, channels, 3, stride=2), nn.AvgPool2d(kernel_size=3, stride=2, padding=1)
        )
        self.semantic_kept = nn.Sequential(
            *conv_bn(channels, channels, 3, groups=channels), nn.Conv2d(channels, channels, 1, bias=False)
        )
        self.semantic_enlarged = conv_bn(channels, channels, 3)
        self.fuse = conv_bn_relu(channels, channels, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, ceil(h/4), ceil(w/4)) to (B, C, h, w)."""
        size = detail.shape[-2:]
        fine = self.detail_kept(detail) * resized(self.semantic_enlarged(semantic), size).sigmoid()
        coarse = self.detail_reduced(detail) * self.semantic_kept(semantic).sigmoid()
        return self.fuse(fine + resized(coarse, size))


class BiSeNetV2(nn.Module):
    """BiSeNetV2, output stride 8.

    Args:
        classes: number of classes.
        width: 64 is the published network; other widths scale all channels, to multiples of 8.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.backbone = BilateralBackbone(width)
        self.aggregation = GuidedAggregation(self.backbone.channels[-1])
        features, booster = scaled(HEAD, width), scaled(BOOSTER, width)
        self.head = conv_bn_relu(self.backbone.channels[-1], features, 3)
        self.dropout = Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(features, classes, kernel_size=1)
        self.auxiliary = nn.ModuleList(
            auxiliary_head(channels, booster, classes) for channels in self.backbone.channels
        )
        initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Segment a batch, see :mod:`etc.models.output`; auxiliary heads of strides 4, 8, 16 and 32."""
        require_several(image, self.training)
        maps = self.backbone(self.normalise(image))
        features = self.head(self.aggregation(maps.detail, maps.semantic))
        logits = self.classifier(self.dropout(features))
        if not self.training:
            return Output(logits, features)
        boosters = tuple(head(x) for head, x in zip(self.auxiliary, maps.stages, strict=True))
        return Output(logits, features, boosters)
