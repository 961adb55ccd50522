"""SF, PF and MF as terms of the objective."""

from collections.abc import Sequence

import torch
from torch import Tensor

from etc.losses.distillation import MultiFrameLoss, PairOfFramesLoss, SingleFrameLoss
from etc.models.pspnet import Output
from etc.params.student import MultiFrameParams, PairParams, SingleFrameParams
from etc.training.data import Batch
from etc.training.objective import Term


class SingleFrameTerm(Term):
    """SF on the labelled frame, and with a smaller weight on the other frames that the scheme looks at anyway.

    Args:
        params: details of the loss.
        frames: how many frames of a sample the scheme looks at.
    """

    def __init__(self, params: SingleFrameParams, frames: int) -> None:
        super().__init__()
        self.loss = SingleFrameLoss(params.temperature, params.pair_weight, params.grid)
        self.other_frames = params.other_frames
        self.teacher_frames = frames if params.other_frames else 1

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        total = self._of_frame(student[0], teacher[0])
        for frame in range(1, self.teacher_frames):
            total = total + self.other_frames * self._of_frame(student[frame], teacher[frame])
        return total

    def _of_frame(self, student: Output, teacher: Output) -> Tensor:
        return self.loss(student.logits, teacher.logits, student.features, teacher.features)


class PairTerm(Term):
    """PF between the labelled frame and its partner."""

    frames = 2
    teacher_frames = 2

    def __init__(self, params: PairParams) -> None:
        super().__init__()
        self.loss = PairOfFramesLoss(params.grid)

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        return self.loss(student[0].features, student[1].features, teacher[0].features, teacher[1].features)


class MultiFrameTerm(Term):
    """MF over the three frames of each sample, in temporal order."""

    frames = 3
    teacher_frames = 3

    def __init__(self, params: MultiFrameParams) -> None:
        super().__init__()
        self.loss = MultiFrameLoss(params.grid, params.hidden, params.clip, params.regulariser)

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        return self.loss(_in_order(student, batch.order), _in_order(teacher, batch.order))

    def after_step(self) -> None:
        self.loss.clip_weights()


def _in_order(outputs: Sequence[Output], order: Tensor) -> list[Tensor]:
    """Features (B, C, h, w) of each moment, where ``order`` (B, K) says which frame of a sample comes when."""
    features = torch.stack([output.features for output in outputs])
    samples = torch.arange(order.shape[0], device=order.device)
    return [features[order[:, moment], samples] for moment in range(order.shape[1])]
