"""Batch normalisation merged into the convolutions before it, for networks that only predict."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fused(network: nn.Module) -> nn.Module:
    """A copy in which every batch normalisation that follows a convolution is merged into it.

    In evaluation mode both are linear, so the result is the same up to rounding, with one pass fewer over each map. A
    run on a small image shows which layers follow each other, so this works for any architecture.

    Args:
        network: in evaluation mode, maps (B, 3, H, W).

    Raises:
        ValueError: the network is in training mode.
    """
    if network.training:
        raise ValueError("batch normalisation can be fused in evaluation mode only: call eval() first")
    network = copy.deepcopy(network)
    made: dict[int, nn.Conv2d] = {}
    kept: list[Tensor] = []  # kept alive, so that no two outputs have the same id
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    calls: list[nn.Module] = []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append(module)
        if isinstance(module, nn.Conv2d):
            made[id(output)] = module
        elif id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])], module))
        kept.extend((*inputs, output))

    watched = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))]
    hooks = [module.register_forward_hook(watch) for module in watched]
    with torch.no_grad():
        first = next(network.parameters())
        network(first.new_zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    # A layer that runs twice may have two different partners.
    pairs = [pair for pair in pairs if all(calls.count(module) == 1 for module in pair)]
    replacements: dict[nn.Module, nn.Module] = {}
    for convolution, normalisation in pairs:
        replacements |= {convolution: fuse_conv_bn_eval(convolution, normalisation), normalisation: nn.Identity()}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in replacements:
                setattr(parent, name, replacements[child])
    return network
