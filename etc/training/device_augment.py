"""The changes of :mod:`etc.training.augment` on a device: loaders read and cut, a GPU does the rest.

The same arithmetic, written for tensors: positions are rounded as OpenCV rounds them, so that a sample differs from the
loader's by the rounding of floats alone, and its label and visible part hardly ever.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from etc.dataset.label_sets import IGNORE
from etc.training.augment import Augmentation

# OpenCV interpolates arrays of two channels, such as flow, at positions in steps of 1/32 pixel, pictures at any.
_FLOW_STEPS = 32


class Cut(NamedTuple):
    """A sample before its change; the arguments of :func:`etc.training.augment.apply`."""

    augmentation: Augmentation
    images: list[np.ndarray]
    label: np.ndarray
    flow: np.ndarray | None = None
    visible: np.ndarray | None = None


def apply(
    augmentation: Augmentation,
    images: list[Tensor],
    label: Tensor,
    flow: Tensor | None = None,
    visible: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Change a sample where its tensors are.

    Args:
        augmentation: from :func:`etc.training.augment.draw`.
        images: K frames, uint8 (H, W, 3) RGB; all tensors hold the augmentation's ``window`` alone.
        label: uint8 (H, W) train ids of the first frame.
        flow: float32 (H, W, 2) from the first frame to the second, pixels, or None.
        visible: bool (H, W), False where the flow's point is occluded in the second frame; None: all visible.

    Returns:
        images float32 (K, h, w, 3), label, flow and visible of the crop, as in :class:`etc.training.augment.Sample`.
    """
    sources = _sources(augmentation, label.device)
    rows, columns = augmentation.window
    # Rounded as positions in the frame; the difference is exact.
    maps = sources[0].float() - columns.start, sources[1].float() - rows.start
    sampled = torch.stack([_bilinear(image.float(), *maps) for image in images])
    changed = _recolour(augmentation, sampled)
    new_label = _nearest(label, *maps, outside=IGNORE)
    if flow is None:
        return changed, new_label, None, None
    vectors = _bilinear(flow, *(torch.round(one * _FLOW_STEPS) / _FLOW_STEPS for one in maps))
    matrix = torch.from_numpy(augmentation.matrix[:, :2].astype(np.float32)).to(flow.device)
    # Products one by one: a matrix product may be rounded to TF32 on a GPU.
    moved = torch.stack([vectors[..., 0] * row[0] + vectors[..., 1] * row[1] for row in matrix], dim=-1)
    ends = [source + vectors[..., axis] for axis, source in enumerate(sources)]
    valid = _inside(*sources, augmentation.size) & _inside(*ends, augmentation.size)
    if visible is not None:
        valid &= _nearest(visible, *maps, outside=0)
    return changed, new_label, moved, valid


def _sources(augmentation: Augmentation, device: torch.device) -> tuple[Tensor, Tensor]:
    """As ``Augmentation.sources`` of all rows: x and y, float64 (h, w)."""
    height, width = augmentation.crop
    y = torch.arange(height, dtype=torch.float64, device=device)[:, None]
    x = torch.arange(width, dtype=torch.float64, device=device)
    across, down = (row[0] * x + row[1] * y + row[2] for row in augmentation.inverse.tolist())
    return across, down


def _bilinear(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values (H, W, C) at these positions, float32 (h, w, C); 0 outside."""
    left, top = x.floor(), y.floor()
    right, lower = x - left, y - top
    left, top = left.long(), top.long()
    total = torch.zeros((), device=values.device)
    for down, vertical in ((0, 1 - lower), (1, lower)):
        for across, horizontal in ((0, 1 - right), (1, right)):
            total = total + (vertical * horizontal)[..., None] * _at(values, left + across, top + down, 0)
    return total


def _nearest(values: Tensor, x: Tensor, y: Tensor, outside: int) -> Tensor:
    return _at(values[..., None], torch.round(x).long(), torch.round(y).long(), outside)[..., 0]


def _at(values: Tensor, column: Tensor, row: Tensor, outside: int) -> Tensor:
    height, width = values.shape[:2]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = values[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return found.where(inside[..., None], torch.tensor(outside, dtype=values.dtype, device=values.device))


def _recolour(augmentation: Augmentation, images: Tensor) -> Tensor:
    colour = torch.from_numpy(augmentation.colour).to(images.device)
    red, green, blue = images.unbind(-1)
    channels = [red * row[0] + green * row[1] + blue * row[2] + row[3] for row in colour]
    changed = torch.stack(channels, dim=-1).clamp(0, 255)
    if augmentation.sigma > 0:
        # The size that OpenCV takes for floats.
        taps = round(augmentation.sigma * 8 + 1) | 1
        kernel = cv2.getGaussianKernel(taps, augmentation.sigma, cv2.CV_32F)[:, 0].tolist()
        changed = _convolved(_convolved(changed, kernel, 2), kernel, 1)
    return changed / 255


def _convolved(images: Tensor, kernel: list[float], axis: int) -> Tensor:
    """Convolve along an axis; borders are mirrored at the middle of the outermost pixel."""
    # A sum of shifted images, since a convolution may be rounded to TF32 on a GPU.
    size, reach = images.shape[axis], len(kernel) // 2
    places = torch.arange(-reach, size + reach, device=images.device) % max(1, 2 * (size - 1))
    padded = images.index_select(axis, torch.minimum(places, 2 * (size - 1) - places))
    return sum(weight * padded.narrow(axis, start, size) for start, weight in enumerate(kernel))


def _inside(x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    return (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)
