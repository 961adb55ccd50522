"""PSPNet (Zhao et al., CVPR 2017) on a dilated ResNet.

With ResNet-18 and width 64 it is the student of the paper (Liu et al., ECCV 2020): a pyramid of four times 128
channels, a 3x3 convolution to 256, a classifier.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etc.errors import UserError
from etc.models.pooling import average_bins
from etc.models.resnet import ResNet

BINS = (1, 2, 3, 6)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DROPOUT = 0.1


class Output(NamedTuple):
    """What the network says about a batch, all at h = ceil(H/8), w = ceil(W/8).

    logits: (B, classes, h, w). features: (B, C, h, w), the map before the classifier and before dropout, for
    distillation. auxiliary: logits (B, classes, h, w) of the auxiliary head in training mode, else None.
    """

    logits: Tensor
    features: Tensor
    auxiliary: Tensor | None


class PyramidPooling(nn.Module):
    """The map beside its averages over 1, 2 x 2, 3 x 3 and 6 x 6 bins, each projected and enlarged again.

    Args:
        inputs: channels C of the map.
        outputs: channels of each bin's projection.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bins = nn.ModuleList(_conv_bn_relu(inputs, outputs, 1) for _ in BINS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C + 4 outputs, h, w)."""
        size = x.shape[-2:]
        averages = average_bins(x, [(bins, bins) for bins in BINS])
        pooled = [layer(y) for layer, y in zip(self.bins, averages, strict=True)]
        enlarged = [F.interpolate(y, size=size, mode="bilinear", align_corners=False) for y in pooled]
        return torch.cat([x, *enlarged], dim=1)


class PSPNet(nn.Module):
    """Segmentation network that takes images in 0..1; the normalisation is inside.

    Args:
        depth: layers of the ResNet, 18, 34, 50 or 101.
        classes: number of classes.
        width: base width of the ResNet; 64 is the published one.
    """

    def __init__(self, depth: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.backbone = ResNet(depth, width)
        layer3, layer4 = self.backbone.channels
        # 256 channels on ResNet-18 and 34, 512 on 50 and 101, at width 64: the sizes of the published networks.
        features = 4 * width if layer4 == 8 * width else 8 * width
        self.pyramid = PyramidPooling(layer4, layer4 // 4)
        self.bottleneck = _conv_bn_relu(2 * layer4, features, 3)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(features, classes, kernel_size=1)
        self.auxiliary = nn.Sequential(
            _conv_bn_relu(layer3, layer3 // 4, 3), nn.Dropout2d(DROPOUT), nn.Conv2d(layer3 // 4, classes, kernel_size=1)
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        for module in self.modules():
            # The classifiers keep the smaller default: with this one their first scores would be far from uniform.
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Output:
        """Segment a batch.

        Args:
            image: float (B, 3, H, W), RGB in 0..1, any H and W.

        Raises:
            UserError: one image in training mode (the 1 x 1 bin has no variance to normalise by).
        """
        if self.training and image.shape[0] == 1:
            raise UserError("batch of 1 image: PSPNet trains with batch normalisation; use a batch size of at least 2")
        layer3, layer4 = self.backbone((image - self.mean) / self.std)
        features = self.bottleneck(self.pyramid(layer4))
        logits = self.classifier(self.dropout(features))
        return Output(logits, features, self.auxiliary(layer3) if self.training else None)


def _conv_bn_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
