"""PSPNet (Zhao et al., CVPR 2017) on a dilated ResNet.

With ResNet-18 and width 64 it is the student of the paper (Liu et al., ECCV 2020): a pyramid of four times 128
channels, a 3x3 convolution to 256, a classifier.
"""

import torch
from torch import Tensor, nn

from etc.models.dropout import Dropout2d
from etc.models.layers import DROPOUT, Normalise, auxiliary_head, conv_bn_relu, initialise, resized
from etc.models.output import Output, require_several
from etc.models.pooling import average_bins
from etc.models.resnet import ResNet

BINS = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """The map and its averages over 1, 2 x 2, 3 x 3 and 6 x 6 bins, each projected and resized back.

    Args:
        inputs: channels C of the map.
        outputs: channels of each bin's projection.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bins = nn.ModuleList(conv_bn_relu(inputs, outputs, 1) for _ in BINS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C + 4 outputs, h, w)."""
        size = x.shape[-2:]
        averages = average_bins(x, [(bins, bins) for bins in BINS])
        pooled = [layer(y.to(x.dtype)) for layer, y in zip(self.bins, averages, strict=True)]
        return torch.cat([x, *(resized(y, size) for y in pooled)], dim=1)


class PSPNet(nn.Module):
    """PSPNet with output stride 8.

    Args:
        depth: layers of the ResNet, 18, 34, 50 or 101.
        classes: number of classes.
        width: base width of the ResNet; 64 is the published one.
    """

    def __init__(self, depth: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.backbone = ResNet(depth, width)
        layer3, layer4 = self.backbone.channels
        # 256 channels on ResNet-18 and 34, 512 on 50 and 101, at width 64: the sizes of the published networks.
        features = 4 * width if layer4 == 8 * width else 8 * width
        self.pyramid = PyramidPooling(layer4, layer4 // 4)
        self.bottleneck = conv_bn_relu(2 * layer4, features, 3)
        self.dropout = Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(features, classes, kernel_size=1)
        self.auxiliary = auxiliary_head(layer3, layer3 // 4, classes)
        initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Segment a batch, see :mod:`etc.models.output`; one auxiliary head, on layer3."""
        require_several(image, self.training)
        layer3, layer4 = self.backbone(self.normalise(image))
        features = self.bottleneck(self.pyramid(layer4))
        logits = self.classifier(self.dropout(features))
        return Output(logits, features, (self.auxiliary(layer3),) if self.training else ())
