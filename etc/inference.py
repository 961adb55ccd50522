"""Predicting whole frames, one at a time or in batches, each independently of the others."""

import time

import numpy as np
import torch
from torch import Tensor, nn

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


def as_network_input(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in 0..1, channels last in memory (faster everywhere)."""
    return (pixels.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


class Segment(nn.Module):
    """From pixels to class ids on the network's device: one graph when it is compiled, and ids leave it as bytes.

    Args:
        network: in evaluation mode, maps (B, 3, H, W) to an output with ``logits`` (B, C, h, w).
        half: run the network in bfloat16; scores are enlarged and compared in float32.
    """

    def __init__(self, network: nn.Module, half: bool = False) -> None:
        super().__init__()
        self.network, self.half = network, half

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            pixels: uint8 (B, H, W, 3) RGB.

        Returns:
            Train ids, uint8 (B, H, W), and whether all scores are finite, bool ().
        """
        images = as_network_input(pixels)
        logits = _scores(self.network, images, self.half)
        return resized(logits, images.shape[-2:]).argmax(dim=1).to(torch.uint8), logits.isfinite().all()


class SegmentAveraged(nn.Module):
    """As :class:`Segment`, by the mean over scales and, if asked, the mirrored frame; with the confidence.

    Args:
        network: see :class:`Segment`.
        scales: factors on the frame size.
        flip: also average with the prediction on the mirrored frame.
        half: see :class:`Segment`.
    """

    def __init__(self, network: nn.Module, scales: tuple[float, ...], flip: bool, half: bool = False) -> None:
        super().__init__()
        self.network, self.scales, self.flip, self.half = network, scales, flip, half

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict.

        Args:
            pixels: uint8 (B, H, W, 3) RGB.

        Returns:
            Train ids, uint8 (B, H, W); their probability, float32 (B, H, W); whether all scores are finite, bool ().
        """
        mean, finite = self.probabilities(pixels)
        confidence, ids = mean.max(dim=1)
        return ids.to(torch.uint8), confidence, finite

    def probabilities(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities at full resolution.

        Args:
            pixels: uint8 (B, H, W, 3) RGB.

        Returns:
            float32 (B, C, H, W), sums to 1 over C; whether all scores are finite, bool ().
        """
        images = as_network_input(pixels)
        size = images.shape[-2:]
        total, finite = None, []
        for scale in self.scales:
            scaled = resized(images, (round(size[0] * scale), round(size[1] * scale)))
            for mirrored in (False, True) if self.flip else (False,):
                logits = _scores(self.network, scaled.flip(-1) if mirrored else scaled, self.half)
                finite.append(logits.isfinite().all())
                one = resized(logits, size).softmax(dim=1)
                one = one.flip(-1) if mirrored else one
                total = one if total is None else total + one
        assert total is not None, "at least one scale"
        return total / (len(self.scales) * (2 if self.flip else 1)), torch.stack(finite).all()


def compiled(segment: Segment | SegmentAveraged) -> Segment | SegmentAveraged:
    """The same, compiled as one graph for each size of frames, and on a GPU replayed as a CUDA graph."""
    segment.compile(fullgraph=True, dynamic=False, mode="reduce-overhead" if _device(segment).type == "cuda" else None)
    return segment


def predict_averaged(segment: SegmentAveraged, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class ids and their mean probability.

    Args:
        segment: in evaluation mode.
        images: uint8 (B, H, W, 3) RGB.

    Returns:
        Train ids, uint8 (B, H, W), and probabilities, float32 (B, H, W).

    Raises:
        UserError: memory ran out, or the scores are not finite.
    """
    advice = f"lower 'batch' ({len(images)}) or the largest of 'scales' ({max(segment.scales, default=1.0)})"
    with torch.inference_mode(), advising(advice):
        ids, confidence, finite = segment(_on_device(images, _device(segment)))
        _check(finite)
        return ids.cpu().numpy(), confidence.cpu().numpy()


def predict(
    network: nn.Module | Segment, images: np.ndarray, batch: int, seconds: list[float] | None = None
) -> np.ndarray:
    """Class ids of frames at a single scale without flip, as the student is used in practice.

    Args:
        network: in evaluation mode; a ``Segment`` where it is to be compiled or run in half precision.
        images: uint8 (N, H, W, 3) RGB.
        batch: frames per forward pass.
        seconds: gets, of each forward pass, the seconds a frame from pixels to class ids, both in the host's memory.

    Returns:
        uint8 (N, H, W), train ids.

    Raises:
        UserError: memory ran out, or the scores are not finite.
    """
    segment = network if isinstance(network, Segment) else Segment(network)
    device, predictions = _device(segment), []
    with torch.inference_mode(), advising(f"lower 'batch' ({batch}), the frames per forward pass"):
        for start in range(0, len(images), batch):
            begin = time.perf_counter()
            ids, finite = segment(_on_device(images[start : start + batch], device))
            # Copying to the host waits for a GPU, so that the clock sees all of its work.
            predictions.append(ids.cpu().numpy())
            _check(finite)
            if seconds is not None:
                seconds.append((time.perf_counter() - begin) / len(predictions[-1]))
    return np.concatenate(predictions)


def _scores(network: nn.Module, images: Tensor, half: bool) -> Tensor:
    if not half:
        return network(images).logits
    with torch.autocast(images.device.type, torch.bfloat16):
        return network(images).logits.float()


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _on_device(images: np.ndarray, device: torch.device) -> Tensor:
    # Copying bytes to a GPU takes a quarter of the time of floats.
    return torch.from_numpy(np.ascontiguousarray(images)).to(device)


def _check(finite: Tensor) -> None:
    # The largest of NaNs is always the same class, which would look perfectly consistent.
    if not bool(finite):
        raise UserError("the network's scores are not finite numbers: its weights are useless; train it again")
