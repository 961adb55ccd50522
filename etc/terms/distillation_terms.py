"""SF, PF and MF as terms of the objective.

Student and teacher may have different output strides: the teacher's maps are brought to the student's size, bilinearly
with aligned pixel centres, wherever pixels are compared with pixels. So the student is always compared at the
resolution that it has, and gets its gradient there; features that are averaged to a grid of nodes are averaged at their
own resolution.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from etc.models.layers import resized
from etc.models.output import Output
from etc.params.student import MultiFrameParams, PairParams, SingleFrameParams
from etc.terms.distillation import MultiFrameLoss, PairOfFramesLoss, SingleFrameLoss
from etc.training.batches import Batch
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
        self.grid = params.grid
        self.other_frames = params.other_frames
        self.teacher_frames = frames if params.other_frames else 1

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        total = self._of_frame(student[0], teacher[0])
        for frame in range(1, self.teacher_frames):
            total = total + self.other_frames * self._of_frame(student[frame], teacher[frame])
        return total

    def _of_frame(self, student: Output, teacher: Output) -> Tensor:
        logits = resized(teacher.logits, student.logits.shape[-2:])
        return self.loss(student.logits, logits, student.features, _nodes_of(student, teacher, self.grid))


class PairTerm(Term):
    """PF between the labelled frame and its partner."""

    frames = 2
    teacher_frames = 2

    def __init__(self, params: PairParams) -> None:
        super().__init__()
        self.loss = PairOfFramesLoss(params.grid)
        self.grid = params.grid

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        features = [_nodes_of(*each, self.grid) for each in zip(student[:2], teacher[:2], strict=True)]
        return self.loss(student[0].features, student[1].features, *features)


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


def _nodes_of(student: Output, teacher: Output, grid: tuple[int, int] | None) -> Tensor:
    """The teacher's features with as many nodes as the student's: pixels, unless both are averaged to a grid."""
    return teacher.features if grid is not None else resized(teacher.features, student.features.shape[-2:])


def _in_order(outputs: Sequence[Output], order: Tensor) -> list[Tensor]:
    """Features (B, C, h, w) of each moment, where ``order`` (B, K) says which frame of a sample comes when."""
    features = torch.stack([output.features for output in outputs])
    samples = torch.arange(order.shape[0], device=order.device)
    return [features[order[:, moment], samples] for moment in range(order.shape[1])]
