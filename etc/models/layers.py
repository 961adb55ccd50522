"""Building blocks that several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etc.models.dropout import Dropout2d

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DROPOUT = 0.1
PUBLISHED_WIDTH = 64


class Normalise(nn.Module):
    """Images in 0..1 to mean 0 and standard deviation 1, by default those of ImageNet."""

    def __init__(self, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        return (image - self.mean) / self.std


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, padded so that the output size is ceil(size / stride), and batch normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """:func:`conv_bn` followed by a rectifier."""
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))


def auxiliary_head(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    """A head used in training only: (B, inputs, h, w) to class scores (B, classes, h, w)."""
    return nn.Sequential(conv_bn_relu(inputs, hidden, 3), Dropout2d(DROPOUT), nn.Conv2d(hidden, classes, kernel_size=1))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of (B, C, h, w) to (B, C, *size), pixel centres aligned; the same tensor if it fits."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def initialise(network: nn.Module) -> None:
    """Initialise the convolutions that are followed by batch normalisation (He et al., ICCV 2015).

    Classifiers, which have a bias, keep torch's smaller default; else their first scores would be far from uniform.
    """
    for module in network.modules():
        # On the device meta there is nothing to fill, but drawing would still take most of a second per network.
        if isinstance(module, nn.Conv2d) and module.bias is None and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def scaled(channels: int, width: int, step: int = 8) -> int:
    """Channels of a layer in a network of another width: nearest multiple of ``step``, never below 90 % (MobileNetV2).

    Args:
        channels: of the published network.
        width: base width; 64 gives the published network when ``channels`` is a multiple of ``step``.
        step: at least this many.
    """
    exact = channels * width / PUBLISHED_WIDTH
    rounded = max(step, int(exact + step / 2) // step * step)
    return rounded if rounded >= 0.9 * exact else rounded + step
