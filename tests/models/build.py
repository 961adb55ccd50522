"""Networks for the tests: small ones with fixed weights, and large ones without memory."""

import torch
from torch import nn

from etc.models.registry import build


def seeded(architecture: str, seed: int = 0, classes: int = 4, width: int = 8) -> nn.Module:
    """A small network with its own random weights; the caller's generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(architecture, classes, width)


def on_meta(architecture: str, width: int = 64) -> nn.Module:
    """The network for 19 classes without memory for its weights; it can compute shapes."""
    with torch.device("meta"):
        return build(architecture, 19, width).eval()


def shake(network: nn.Module) -> nn.Module:
    """Give batch normalisation statistics and weights that matter, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return network
