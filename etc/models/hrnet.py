"""HRNetV2-W18-Small-v2 (Wang et al., TPAMI 2020): several resolutions side by side, from 1/4 to 1/32.

The small network of the authors' repositories in its second version, two blocks a branch. Names of the parameters of
``backbone`` and the channels are those of the authors' code, so that its ImageNet weights load. Maps are enlarged
bilinearly with aligned pixel centres; the authors take the nearest pixel on ImageNet and align corners later.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from etc.models.layers import Normalise, conv_bn, conv_bn_relu, initialise, resized
from etc.models.output import Output, require_several
from etc.models.resnet import BasicBlock, Bottleneck

BLOCKS = 2
MODULES = (1, 3, 2)  # of the stages with 2, 3 and 4 resolutions
UNDILATED = (1, 1)


class Exchange(nn.Module):
    """Residual blocks at each resolution, then each resolution receives the sum over all, resized to its own size.

    Args:
        channels: of each resolution, the finest first; each is half the size of the one before.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(count, count, 1, UNDILATED) for _ in range(BLOCKS))) for count in channels
        )
        places = range(len(channels))
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse(channels, source, target) for source in places) for target in places
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, channels[k], h_k, w_k) to maps of the same shapes."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers):
            size = maps[target].shape[-2:]
            parts = [resized(layer(x), size) for layer, x in zip(layers, maps, strict=True)]
            fused.append(self.relu(torch.stack(parts).sum(0)))
        return fused


class HRNet(nn.Module):
    """HRNet-W18-Small-v2 without its classifier.

    Args:
        width: channels of the stem; 64 is the published network, whose finest resolution has 18 channels.
    """

    left_out = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        finest = max(8, 2 * round(9 * width / 64))
        self.channels = [finest << place for place in range(4)]
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        wide = Bottleneck.expansion * width
        first = Bottleneck(width, width, 1, UNDILATED)
        self.layer1 = nn.Sequential(first, *(Bottleneck(wide, width, 1, UNDILATED) for _ in range(BLOCKS - 1)))
        self.transition1 = nn.ModuleList([conv_bn_relu(wide, finest, 3), _halve(wide, self.channels[1])])
        self.stage2 = self._stage(2)
        self.transition2 = self._transition(2)
        self.stage3 = self._stage(3)
        self.transition3 = self._transition(3)
        self.stage4 = self._stage(4)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to four maps, of strides 4, 8, 16 and 32 and as many ``channels``."""
        x = self.relu(self.bn1(self.conv1(image)))
        x = self.layer1(self.relu(self.bn2(self.conv2(x))))
        maps = self.stage2([layer(x) for layer in self.transition1])
        maps = self.stage3([*maps, self.transition2[-1](maps[-1])])
        return self.stage4([*maps, self.transition3[-1](maps[-1])])

    def _stage(self, resolutions: int) -> nn.Sequential:
        count = MODULES[resolutions - 2]
        return nn.Sequential(*(Exchange(self.channels[:resolutions]) for _ in range(count)))

    def _transition(self, resolutions: int) -> nn.ModuleList:
        """Keeps the existing resolutions and adds a coarser one; the positions in the list are the authors'."""
        new = _halve(self.channels[resolutions - 1], self.channels[resolutions])
        return nn.ModuleList([*(nn.Identity() for _ in range(resolutions)), new])


class HRNetSegmenter(nn.Module):
    """HRNet with the head HRNetV2: all maps at the size of the finest, a 1x1 convolution, a classifier; stride 4.

    Args:
        classes: number of classes.
        width: 64 is the published network; other widths scale all channels.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.backbone = HRNet(width)
        features = sum(self.backbone.channels)
        self.head = conv_bn_relu(features, features, 1)
        self.classifier = nn.Conv2d(features, classes, kernel_size=1)
        initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Segment a batch, see :mod:`etc.models.output`; no auxiliary head."""
        require_several(image, self.training)
        maps = self.backbone(self.normalise(image))
        features = self.head(torch.cat([resized(x, maps[0].shape[-2:]) for x in maps], dim=1))
        return Output(self.classifier(features), features)


def _fuse(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """From one resolution to the channels of another, and to its size if that is coarser."""
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_bn(channels[source], channels[target], 1)
    steps = target - source
    narrow = [conv_bn_relu(channels[source], channels[source], 3, stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*narrow, conv_bn(channels[source], channels[target], 3, stride=2))


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(inputs, outputs, 3, stride=2))
