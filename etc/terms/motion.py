"""TL as a term of the objective: resamples scores, images and flow to one grid."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from etc.models.output import Output
from etc.params.training import MotionParams
from etc.terms.functional import comparable, motion_loss, resize_flow, resize_visible
from etc.training.batches import Batch
from etc.training.objective import Term


class MotionTerm(Term):
    """Motion-guided temporal loss between the labelled frame and its partner (Liu et al., ECCV 2020, equation of TL).

    Args:
        params: form of the loss, and how many times coarser than the crop its grid is.
    """

    frames = 2

    def __init__(self, params: MotionParams) -> None:
        super().__init__()
        self.form = params.form
        self.stride = params.stride

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        size = self._size(batch)
        scores = [
            F.interpolate(output.logits, size=size, mode="bilinear", align_corners=False) for output in student[:2]
        ]
        images = [F.avg_pool2d(image, self.stride) for image in batch.images[:2]]
        return motion_loss(*scores, *images, *self._motion(batch), form=self.form)

    def count(self, batch: Batch) -> Tensor:
        return comparable(*self._motion(batch)).sum().double()

    def _motion(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Flow and visibility on the grid of the loss."""
        size = self._size(batch)
        return resize_flow(batch.flow, size), resize_visible(batch.visible, size)

    def _size(self, batch: Batch) -> tuple[int, int]:
        height, width = batch.labels.shape[-2:]
        return height // self.stride, width // self.stride
