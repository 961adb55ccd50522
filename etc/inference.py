"""Predicting whole frames, one at a time or in batches, each independently of the others."""

import copy
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from etc.core.errors import UserError
from etc.models.layers import resized
from etc.models.memory import advising


def choose_device(name: str) -> torch.device:
    """The device for a parameter ``cpu``, ``cuda``, or ``auto``: a GPU if there is one.

    Raises:
        UserError: ``cuda`` is requested and there is no GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("device is 'cuda', but torch finds no GPU; use 'auto' or 'cpu'")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def to_tensor(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in 0..1 on the device, channels last in memory (faster everywhere)."""
    # Copying bytes to a GPU takes a quarter of the time of floats.
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return (pixels.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def probabilities(network: nn.Module, images: Tensor, scales: tuple[float, ...] = (1.0,), flip: bool = False) -> Tensor:
    """Class probabilities at full resolution, averaged over scales and, if asked, the mirrored frame.

    Args:
        network: maps (B, 3, H, W) to an output with ``logits`` (B, C, h, w).
        images: float32 (B, 3, H, W) in 0..1.
        scales: factors on the frame size.
        flip: also average with the prediction on the mirrored frame.

    Returns:
        float32 (B, C, H, W), sums to 1 over C.

    Raises:
        UserError: memory ran out, or the scores are not finite.
    """
    size = images.shape[-2:]
    total: Tensor | None = None
    with advising(f"lower 'batch' ({images.shape[0]}) or the largest of 'scales' ({max(scales, default=1.0)})"):
        for scale in scales:
            scaled = resized(images, (round(size[0] * scale), round(size[1] * scale)))
            for mirrored in (False, True) if flip else (False,):
                logits = _finite(network(scaled.flip(-1) if mirrored else scaled).logits)
                one = resized(logits, size).softmax(dim=1)
                one = one.flip(-1) if mirrored else one
                total = one if total is None else total + one
    assert total is not None, "at least one scale"
    return total / (len(scales) * (2 if flip else 1))


def predict(network: nn.Module, images: np.ndarray, batch: int, seconds: list[float] | None = None) -> np.ndarray:
    """Class ids of frames at a single scale without flip, as the student is used in practice.

    Args:
        network: in evaluation mode.
        images: uint8 (N, H, W, 3) RGB.
        batch: frames per forward pass.
        seconds: gets, of each forward pass, the seconds a frame from pixels to class ids, both in the host's memory.

    Returns:
        uint8 (N, H, W), train ids.

    Raises:
        UserError: memory ran out, or the scores are not finite.
    """
    device = next(network.parameters()).device
    size = images.shape[1:3]
    predictions = []
    with torch.inference_mode(), advising(f"lower 'batch' ({batch}), the frames per forward pass"):
        for start in range(0, len(images), batch):
            begin = time.perf_counter()
            logits = _finite(network(to_tensor(images[start : start + batch], device)).logits)
            # Copying to the host waits for a GPU, so that the clock sees all of its work.
            predictions.append(resized(logits, size).argmax(dim=1).to(torch.uint8).cpu().numpy())
            if seconds is not None:
                seconds.append((time.perf_counter() - begin) / len(predictions[-1]))
    return np.concatenate(predictions)


def _finite(logits: Tensor) -> Tensor:
    # The largest of NaNs is always the same class, which would look perfectly consistent.
    if not bool(logits.isfinite().all()):
        raise UserError("the network's scores are not finite numbers: its weights are useless; train it again")
    return logits


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
