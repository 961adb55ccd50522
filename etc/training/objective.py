"""The objective: cross-entropy on the labelled frame plus weighted terms on it and its neighbours."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from etc.models.output import Output
from etc.training.batches import Batch
from etc.training.cross_entropy import SegmentationLoss

# nn.BatchNorm2d, what it becomes for several processes on CPUs, and on GPUs (nn.SyncBatchNorm, which is none).
BATCH_NORM = nn.modules.batchnorm._BatchNorm


class Term(nn.Module):
    """One term that is added to the cross-entropy.

    Attributes:
        frames: how many of a sample's frames the student must see: 1 the labelled one, 2 also its partner, 3 all.
        teacher_frames: how many the teacher must see; 0 for a term without a teacher.
    """

    frames: int = 1
    teacher_frames: int = 0

    def forward(self, batch: Batch, student: Sequence[Output], teacher: Sequence[Output]) -> Tensor:
        """Value of the term, a scalar.

        Args:
            batch: the frames.
            student: outputs for each frame that the student saw, in the order of ``batch.images``.
            teacher: the same for the teacher; empty when no term needs it.
        """
        raise NotImplementedError

    def count(self, batch: Batch) -> Tensor:
        """Number of samples or pixels that this batch's value is a mean over: float64 scalar.

        When a batch is cut into parts or shared by processes, each part's value is weighted by its share of the count.
        """
        return batch.labels.new_tensor(batch.labels.shape[0], dtype=torch.float64)

    def after_step(self) -> None:
        """Called after every step of the optimiser."""


class Objective(nn.Module):
    """Student and losses in one module, so that several processes can average all gradients at once.

    Args:
        student: network that maps images to an ``Output``.
        segmentation: loss of the labelled frame.
        terms: further terms by name.
        weights: their weights.
        freeze_bn: keep the statistics of the batch normalisation in the student's backbone, which then uses them in
            training as it does in evaluation.
    """

    def __init__(
        self,
        student: nn.Module,
        segmentation: SegmentationLoss,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        freeze_bn: bool = False,
    ) -> None:
        super().__init__()
        self.student = student
        self.segmentation = segmentation
        self.terms = nn.ModuleDict(terms)
        self.weights = dict(weights)
        self.freeze_bn = freeze_bn

    def train(self, mode: bool = True) -> "Objective":
        """Training or evaluation mode, as of every module, but for frozen statistics."""
        super().train(mode)
        if self.freeze_bn:
            for module in self.student.backbone.modules():
                if isinstance(module, BATCH_NORM):
                    module.eval()
        return self

    @property
    def names(self) -> list[str]:
        """Names of the values that the forward pass returns: total, ce, then the terms."""
        return ["total", "ce", *self.terms]

    @property
    def frames(self) -> int:
        """How many frames of a sample the student sees."""
        return max([1, *(term.frames for term in self.terms.values())])

    @property
    def teacher_frames(self) -> int:
        """How many frames of a sample the teacher sees."""
        return max([0, *(term.teacher_frames for term in self.terms.values())])

    def counts(self, batch: Batch) -> Tensor:
        """Weights of a batch's cross-entropy and terms in a mean over batches: float64 (1 + terms,)."""
        counts = [self.segmentation.weight(batch.labels), *(term.count(batch) for term in self.terms.values())]
        return torch.stack(counts)

    def forward(self, batch: Batch, teacher: Sequence[Output], shares: Tensor) -> Tensor:
        """Losses of a batch, which may be one of several parts of a step.

        Args:
            batch: the samples.
            teacher: the teacher's outputs from :func:`outputs_per_frame`.
            shares: (1 + terms,), factors on the cross-entropy and the terms: this part's share of the counts of all
                parts, times the number of parts, so that the mean over the parts is the mean over the whole.

        Returns:
            The values in the order of ``names``; the first is to be minimised, the others are unweighted.
        """
        student = outputs_per_frame(self.student, batch.images)
        losses = [self.segmentation(student[0].logits, batch.labels, student[0].auxiliary)]
        losses += [term(batch, student, teacher) for term in self.terms.values()]
        ce, *terms = (share * loss for share, loss in zip(shares, losses, strict=True))
        total = ce + sum(self.weights[name] * value for name, value in zip(self.terms, terms, strict=True))
        return torch.stack([total, *(value.detach() for value in (ce, *terms))])

    def after_step(self) -> None:
        """Called after every step of the optimiser."""
        for term in self.terms.values():
            term.after_step()


def outputs_per_frame(network: nn.Module, images: Tensor) -> list[Output]:
    """Run a network on K frames of B samples at once, (K, B, 3, h, w), and return its outputs frame by frame."""
    count = images.shape[0]
    output = network(images.flatten(0, 1))
    heads = [head.chunk(count) for head in output.auxiliary]
    auxiliary = [tuple(head[frame] for head in heads) for frame in range(count)]
    logits, features = output.logits.chunk(count), output.features.chunk(count)
    return [Output(*each) for each in zip(logits, features, auxiliary, strict=True)]
