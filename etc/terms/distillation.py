"""Temporal knowledge distillation: what the student learns from a frozen teacher.

SF looks at one frame, PF at a pair, MF at the whole clip (Liu et al., ECCV 2020).

Student and teacher may have different output strides: the teacher's maps are brought to the student's size, bilinearly
with aligned pixel centres, wherever pixels are compared with pixels. So the student is always compared at its own
resolution and gets its gradient there; features that are averaged to a grid of nodes are averaged at their own
resolution.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from etc.models.layers import resized
from etc.models.output import Output
from etc.params.student import MultiFrameParams, PairParams, SingleFrameParams
from etc.terms.functional import (
    pair_of_frames_loss,
    pair_wise_loss,
    pixel_wise_divergence,
    self_similarity,
    teacher_weights,
)
from etc.training.batches import Batch
from etc.training.objective import Term


class SingleFrameTerm(Term):
    """SF: per-pixel KL(teacher || student) plus the pair-wise similarity of features.

    It is computed on the labelled frame, and with a smaller weight on the other frames if the scheme reads them anyway.

    Args:
        params: details of the loss.
        frames: how many frames of a sample the scheme reads.
        class_weights: one weight a class, for ``class_weighted``.
    """

    def __init__(self, params: SingleFrameParams, frames: int, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.params = params
        self.teacher_frames = frames if params.other_frames else 1
        weights = torch.tensor(class_weights) if params.class_weighted else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        total = self._of_frame(student[0], teacher[0])
        for frame in range(1, self.teacher_frames):
            total = total + self.params.other_frames * self._of_frame(student[frame], teacher[frame])
        return total

    def _of_frame(self, student: Output, teacher: Output) -> Tensor:
        teacher_logits = resized(teacher.logits, student.logits.shape[-2:])
        weights = None
        if self.params.class_weighted or self.params.min_confidence:
            weights = teacher_weights(teacher_logits, self.class_weights, self.params.min_confidence)
        loss = pixel_wise_divergence(student.logits, teacher_logits, self.params.temperature, weights)
        if self.params.pair_weight:
            teacher_features = _comparable_features(teacher, student, self.params.grid)
            pair = pair_wise_loss(student.features, teacher_features, self.params.grid)
            loss = loss + self.params.pair_weight * pair
        return loss


class PairTerm(Term):
    """PF between the labelled frame and its partner."""

    frames = 2
    teacher_frames = 2

    def __init__(self, params: PairParams) -> None:
        super().__init__()
        self.grid = params.grid

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        student_features = [output.features for output in student[:2]]
        teacher_features = [
            _comparable_features(theirs, ours, self.grid) for theirs, ours in zip(teacher[:2], student[:2], strict=True)
        ]
        return pair_of_frames_loss(*student_features, *teacher_features, self.grid)


class ConvLSTM(nn.Module):
    """Convolutional LSTM (Shi et al., NeurIPS 2015) over a sequence of one-channel images, 3x3 kernels.

    It has no bias terms: with them the state could grow independently of the input, and the loss would teach nothing.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(1 + hidden, 4 * hidden, kernel_size=3, padding=1, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Last state of the sequences.

        Args:
            images: (B, T, H, W), T >= 1 in temporal order.

        Returns:
            Output and cell, each (B, hidden, H, W).
        """
        batch, length, height, width = images.shape
        output = cell = images.new_zeros(batch, self.hidden, height, width)
        for step in range(length):
            gates = self.gates(torch.cat([images[:, step, None], output], dim=1))
            enter, forget, leave, candidate = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            output = leave.sigmoid() * cell.tanh()
        return output, cell


class MultiFrameLoss(nn.Module):
    """MF: ||E^T - E^S||^2 of the clip's embeddings, from one ConvLSTM over the self-similarity maps of its frames.

    The embedding is the last output and cell of the ConvLSTM; the squared length is summed over its channels and
    averaged over the positions of the map. The ConvLSTM is shared by student and teacher and trains with the student:
    its parameters belong in the optimiser, without weight decay. Left alone it learns to give every clip the embedding
    0. Two guards stop that: the term regulariser * mean(1 - cell of E^T) makes the teacher's embedding large, and
    the weights are clipped (call ``clip_weights`` after each step of the optimiser), which stops that term from
    saturating the gates, where the embedding no longer depends on the features.

    Args:
        grid: features are averaged to grid x grid nodes, the similarity image is grid^2 x grid^2.
        hidden: channels of the ConvLSTM.
        clip: the weights are kept in -clip..clip; None leaves them free.
        regulariser: weight of this term; 0 leaves it out.
    """

    def __init__(self, grid: int = 6, hidden: int = 4, clip: float | None = 0.1, regulariser: float = 1.0) -> None:
        super().__init__()
        self.grid = grid
        self.clip = clip
        self.regulariser = regulariser
        self.lstm = ConvLSTM(hidden)
        self.clip_weights()

    def embed(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Embedding of a clip from the features (B, C, h, w) of its frames: output and cell (B, hidden, N, N)."""
        images = torch.stack([self_similarity(x, (self.grid, self.grid)) for x in features], dim=1)
        with torch.autocast(images.device.type, enabled=False):
            return self.lstm(images)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Loss of a batch of clips.

        Args:
            student: features (B, C_s, h, w) of each frame in temporal order.
            teacher: features (B, C_t, h', w') of the same frames; they get no gradient.

        Raises:
            ValueError: the clips differ in length.
        """
        if len(student) != len(teacher):
            raise ValueError(f"student and teacher clips differ in length: {len(student)} and {len(teacher)} frames")
        output_s, cell_s = self.embed(student)
        output_t, cell_t = self.embed([x.detach() for x in teacher])
        distance = ((output_t - output_s).square() + (cell_t - cell_s).square()).sum(1).mean()
        return distance + self.regulariser * (1 - cell_t).mean()

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Bring the weights of the ConvLSTM back into -clip..clip."""
        if self.clip is not None:
            for parameter in self.lstm.parameters():
                parameter.clamp_(-self.clip, self.clip)


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


def _comparable_features(teacher: Output, student: Output, grid: tuple[int, int] | None) -> Tensor:
    """The teacher's features at the student's size; unchanged when both are averaged to a grid of nodes anyway."""
    return teacher.features if grid is not None else resized(teacher.features, student.features.shape[-2:])


def _in_order(outputs: Sequence[Output], order: Tensor) -> list[Tensor]:
    """Features (B, C, h, w) in temporal order, which ``order`` (B, K) gives for each sample."""
    features = torch.stack([output.features for output in outputs])
    samples = torch.arange(order.shape[0], device=order.device)
    return [features[order[:, moment], samples] for moment in range(order.shape[1])]
