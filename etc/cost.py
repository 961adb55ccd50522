"""What a network costs: parameters and multiply-accumulates."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


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
