"""The table of networks and their costs."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from etc.models.registry import ARCHITECTURES, build

CLASSES = 19
SIZE = (1024, 2048)


class Cost(NamedTuple):
    """Cost of a network at inference.

    Attributes:
        parameters: without those of heads that are used in training only.
        operations: multiply-accumulates of one image.
    """

    parameters: int
    operations: int


def cost(network: nn.Module, size: tuple[int, int]) -> Cost:
    """Cost of a network; on the device ``meta`` nothing is computed.

    Args:
        network: any of the registry; it is set to evaluation mode.
        size: height and width of the image.
    """
    network.eval()
    kept = [parameter.numel() for name, parameter in network.named_parameters() if not name.startswith("auxiliary.")]
    device = next(network.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, *size, device=device))
    # Published figures count convolutions, but not the averages of pooling, which are a matrix product here. The
    # counter counts a multiply-accumulate as two operations.
    convolutions = counter.get_flop_counts()["Global"].get(torch.ops.aten.convolution, 0)
    return Cost(sum(kept), convolutions // 2)


def table() -> str:
    """All networks as a Markdown table, at their published width, with 19 classes and images of 1024 x 2048 pixels."""
    lines = [
        "| name | network | output stride | parameters, M | GMAC | ImageNet weights for the backbone |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for name, architecture in ARCHITECTURES.items():
        with torch.device("meta"):
            network = build(name, CLASSES)
        parameters, operations = cost(network, SIZE)
        cells = [
            f"`{name}`",
            architecture.description,
            str(architecture.stride),
            f"{parameters / 1e6:.2f}",
            f"{operations / 1e9:.1f}",
            architecture.backbone_weights or "none: trained from random weights",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
