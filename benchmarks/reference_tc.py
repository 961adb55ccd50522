"""The loop of the released TC script, restated from its description, for ``benchmarks/tc.py`` to measure against.

A pair costs there: decode two frames and two predictions, normalise the frames (they are used only when the flow is
not in the cache), read the .flo file, warp the ids bilinearly, cut to uint8, count with three ``np.histogram``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from etc.dataset.label_sets import IGNORE

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Warp = Callable[[torch.Tensor, torch.Tensor], np.ndarray]


class PairFiles(NamedTuple):
    """What the script reads for one pair; the predictions are grey PNG of class ids."""

    frame: Path
    frame_next: Path
    prediction: Path
    prediction_next: Path
    flow: Path


def count_pairs(pairs: list[PairFiles], classes: int, warp: Warp) -> tuple[np.ndarray, np.ndarray]:
    """Intersection and union of each class, int64 (C,), summed over the pairs."""
    intersection, union = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for files in pairs:
        prediction = cv2.imread(str(files.prediction), cv2.IMREAD_GRAYSCALE)
        prediction_next = cv2.imread(str(files.prediction_next), cv2.IMREAD_GRAYSCALE)
        # What the flow network would get; with the flow in the cache both go unused, but the script makes them.
        for frame in (files.frame, files.frame_next):
            _network_input(frame)
        ids = torch.from_numpy(prediction_next.astype(np.float32))[None, None]
        flow = torch.from_numpy(_read_flo(files.flow).transpose(2, 0, 1).copy())[None]
        common, either = _count(prediction, warp(ids, flow).astype(np.uint8), classes)
        intersection += common
        union += either
    return intersection, union


def grid_sample(ids: torch.Tensor, flow: torch.Tensor) -> np.ndarray:
    """Bilinear warp by ``grid_sample``, clamped at the border: the fast stand-in on a CPU for the script's CUDA kernel.

    Args:
        ids: float32 (1, 1, H, W).
        flow: float32 (1, 2, H, W).

    Returns:
        float32 (H, W).
    """
    height, width = ids.shape[-2:]
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = (column + flow[0, 0]) * (2 / (width - 1)) - 1, (row + flow[0, 1]) * (2 / (height - 1)) - 1
    grid = torch.stack([x, y], dim=-1)[None]
    return torch.nn.functional.grid_sample(ids, grid, padding_mode="border", align_corners=True)[0, 0].numpy()


def kernel(ids: torch.Tensor, flow: torch.Tensor) -> np.ndarray:
    """The same warp in the arithmetic of the script's CUDA kernel, whose last bit decides counts."""
    height, width = ids.shape[-2:]
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = column + flow[0, 0], row + flow[0, 1]
    left, top = x.floor(), y.floor()
    fraction = [(x - left).double(), (y - top).double()]
    columns = [edge.clamp(0, width - 1).long() for edge in (left, left + 1)]
    rows = [edge.clamp(0, height - 1).long() for edge in (top, top + 1)]
    corner = [[ids[0, 0, one, other].double() for other in columns] for one in rows]
    value = ((1 - fraction[0]) * (1 - fraction[1]) * corner[0][0]).float()
    value += (fraction[0] * (1 - fraction[1]) * corner[0][1]).float()
    value += ((1 - fraction[0]) * fraction[1] * corner[1][0]).float()
    return (((x - left) * (y - top)).double() * corner[1][1] + value).float().numpy()


def _network_input(path: Path) -> torch.Tensor:
    image = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.float32)
    image = (image / 255 - np.array(MEAN)) / np.array(DEVIATION)
    return torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1).copy())[None]


def _read_flo(path: Path) -> np.ndarray:
    data = np.fromfile(path, np.float32)
    width, height = data[1:3].view(np.int32)
    return data[3:].reshape(height, width, 2)


def _count(first: np.ndarray, second: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = first.ravel().copy(), second.ravel()
    first[np.flatnonzero(second == IGNORE)] = IGNORE
    bins = np.arange(classes + 1)
    common = np.histogram(first[np.flatnonzero(first == second)], bins)[0]
    return common, np.histogram(first, bins)[0] + np.histogram(second, bins)[0] - common
