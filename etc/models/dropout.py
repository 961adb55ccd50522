"""Dropout whose masks belong to the samples of a batch, however the batch is divided."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Part(NamedTuple):
    """The part of a batch that a forward pass sees.

    Attributes:
        number: of the part, from 0.
        parts: into which the batch is divided, all of the same size.
        frames: images of each sample in the forward pass; image f of all samples comes before image f + 1 of any.
        generator: draws the masks of the whole batch, on the device of the maps; in the same state for every part.
    """

    number: int
    parts: int
    frames: int
    generator: torch.Generator


class Dropout2d(nn.Dropout2d):
    """torch's ``Dropout2d``, or in a part of a batch what that would do to these samples in the whole batch.

    Attributes:
        part: None for a whole batch, whose masks come from torch's global generator.
    """

    part: Part | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if self.part is None or not self.training:
            return super().forward(x)
        number, parts, frames, generator = self.part
        kept = x.new_empty(frames, parts, x.shape[0] // frames, x.shape[1]).bernoulli_(1 - self.p, generator=generator)
        return x * (kept[:, number].reshape(*x.shape[:2], 1, 1) / (1 - self.p))


def set_part(network: nn.Module, part: Part) -> None:
    """Tell every :class:`Dropout2d` of a network which part of a batch comes next."""
    for module in network.modules():
        if isinstance(module, Dropout2d):
            module.part = part
