"""The networks by name."""

from collections.abc import Callable
from functools import partial

from torch import nn

from etc.errors import UserError
from etc.models.pspnet import PSPNet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "pspnet18": partial(PSPNet, 18),
    "pspnet34": partial(PSPNet, 34),
    "pspnet50": partial(PSPNet, 50),
    "pspnet101": partial(PSPNet, 101),
}


def build(architecture: str, classes: int, width: int = 64) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator: fork and seed it for the same weights again.

    Every network maps images, float (B, 3, H, W) RGB in 0..1, to an ``etc.models.pspnet.Output``.

    Args:
        architecture: a key of ``ARCHITECTURES``.
        classes: number of classes, >= 1.
        width: base width, >= 1; 64 is the published network.

    Raises:
        UserError: unknown architecture, or a number out of range.
    """
    if architecture not in ARCHITECTURES:
        raise UserError(f"unknown architecture {architecture!r}; use one of {', '.join(ARCHITECTURES)}")
    if classes < 1:
        raise UserError(f"{architecture}: {classes} classes; at least 1 is needed")
    if width < 1:
        raise UserError(f"{architecture}: width {width}; use a positive number, 64 for the published network")
    return ARCHITECTURES[architecture](classes=classes, width=width)
