"""Averages over a grid of bins whose backward pass sums in a fixed order on every device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from etc.models.precision import full_precision


@full_precision
def average_bins(x: Tensor, grids: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Averages of a map over grids of bins, the bins of ``torch.nn.functional.adaptive_avg_pool2d``.

    All grids are computed by one matrix product. torch's own function has no deterministic backward pass on CUDA, and
    takes two to three times as long on maps of 97 x 97. Sums are computed in float32 or better, also under autocast.

    Args:
        x: (B, C, H, W).
        grids: (rows, columns) of bins. Neighbouring bins overlap where a side is not a multiple of their number.

    Returns:
        For each grid (B, C, rows, columns), in float32 or better.
    """
    batch, channels, height, width = x.shape
    weights = [
        _weights(height, rows, x)[:, None, :, None] * _weights(width, columns, x)[:, None] for rows, columns in grids
    ]
    matrix = torch.cat([one.reshape(-1, height * width) for one in weights])
    # With channels last in memory, which is the default, this is a view.
    pooled = matrix @ x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    parts = pooled.transpose(1, 2).split([rows * columns for rows, columns in grids], dim=2)
    return [part.unflatten(2, grid) for part, grid in zip(parts, grids, strict=True)]


def _weights(size: int, bins: int, like: Tensor) -> Tensor:
    """Weight of each of ``size`` places in the mean of each bin, (bins, size)."""
    number, place = torch.arange(bins, device=like.device)[:, None], torch.arange(size, device=like.device)
    # Bin i extends from floor(i * size / bins) to ceil((i + 1) * size / bins).
    inside = (place >= number * size // bins) & (place < ((number + 1) * size + bins - 1) // bins)
    return inside.to(like.dtype) / inside.sum(1, keepdim=True)
