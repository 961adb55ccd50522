"""Loss of the labelled frames."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etc.terms.functional import IGNORE, cross_entropy


class SegmentationLoss(nn.Module):
    """Cross entropy of the head plus a share of each auxiliary head's.

    PSPNet (Zhao et al., CVPR 2017) has one such head and the weight 0.4, BiSeNetV2 (Yu et al., IJCV 2021) four and 1.

    Args:
        class_weights: one weight a class, or None.
        ohem_threshold, ohem_fraction: hard example mining, see ``functional.cross_entropy``; None turns it off.
        auxiliary_weight: weight of every auxiliary head.
    """

    def __init__(
        self,
        class_weights: list[float] | None = None,
        ohem_threshold: float | None = None,
        ohem_fraction: float = 0.0,
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__()
        self.ohem_threshold = ohem_threshold
        self.ohem_fraction = ohem_fraction
        self.auxiliary_weight = auxiliary_weight
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, auxiliary: Sequence[Tensor] = ()) -> Tensor:
        """Loss of a batch; the logits are upsampled to the labels.

        Args:
            logits: (B, C, h, w).
            labels: int64 (B, H, W), 255 = ignore.
            auxiliary: logits (B, C, h', w') of each auxiliary head, each of a size of its own.
        """
        loss = self._upsampled(logits, labels)
        for head in auxiliary:
            loss = loss + self.auxiliary_weight * self._upsampled(head, labels)
        return loss

    def weight(self, labels: Tensor) -> Tensor:
        """What the loss of a batch counts for in a mean over several batches: float64 scalar.

        It is the sum of the class weights of the labelled pixels, so that parts of a batch make up the mean over the
        whole. Hard examples are mined in each part on its own.
        """
        labelled = labels[labels != IGNORE]
        if self.class_weights is None:
            return labels.new_tensor(labelled.numel(), dtype=torch.float64)
        return self.class_weights.double()[labelled].sum()

    def _upsampled(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        return cross_entropy(logits, labels, self.class_weights, self.ohem_threshold, self.ohem_fraction)
