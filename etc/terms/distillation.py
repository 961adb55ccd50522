"""Temporal knowledge distillation: what the student learns from a teacher that does not change.

SF looks at one frame, PF at a pair, MF at the whole clip (Liu et al., ECCV 2020).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from etc.terms.functional import pair_of_frames_loss, pair_wise_loss, pixel_wise_divergence, self_similarity


class SingleFrameLoss(nn.Module):
    """SF: per-pixel KL(teacher || student) plus the pair-wise similarity of features.

    Args:
        temperature: of the KL term, > 0.
        pair_weight: weight of the pair-wise term; 0 leaves it out.
        grid: (rows, columns) of nodes for the pair-wise term; None takes every pixel.
    """

    def __init__(self, temperature: float = 1.0, pair_weight: float = 1.0, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.pair_weight = pair_weight
        self.grid = grid

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, student_features: Tensor, teacher_features: Tensor
    ) -> Tensor:
        """Loss of a batch of frames: logits (B, C, h, w), features (B, C_s or C_t, h, w)."""
        loss = pixel_wise_divergence(student_logits, teacher_logits, self.temperature)
        if self.pair_weight:
            loss = loss + self.pair_weight * pair_wise_loss(student_features, teacher_features, self.grid)
        return loss


class PairOfFramesLoss(nn.Module):
    """PF: similarities between the pixels of two frames, see ``functional.pair_of_frames_loss``."""

    def __init__(self, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, student_t: Tensor, student_s: Tensor, teacher_t: Tensor, teacher_s: Tensor) -> Tensor:
        """Loss of a batch of pairs of feature maps (B, C_s or C_t, h, w)."""
        return pair_of_frames_loss(student_t, student_s, teacher_t, teacher_s, self.grid)


class ConvLSTM(nn.Module):
    """Convolutional LSTM (Shi et al., NeurIPS 2015) over a sequence of one-channel images, 3x3 kernels.

    There are no bias terms: with them the state could grow without looking at its input, and the loss on it would
    teach nothing.
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
    the weights are clipped (call ``clip_weights`` after each step of the optimiser), which keeps that term from
    driving the gates into saturation, where the embedding no longer depends on the features.

    Args:
        grid: features are averaged to grid x grid nodes, the similarity image is grid^2 x grid^2.
        hidden: channels of the ConvLSTM.
        clip: the weights are kept in -clip..clip; None leaves them free.
        regulariser: weight of the enlarging term; 0 leaves it out.
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
