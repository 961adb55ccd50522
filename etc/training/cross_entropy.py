"""Loss of the labelled frames: cross entropy with class weights and hard example mining."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etc.dataset.label_sets import IGNORE
from etc.models.layers import resized
from etc.models.precision import full_precision


@full_precision
def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    ohem_threshold: float | None = None,
    ohem_fraction: float = 0.0,
) -> Tensor:
    """Mean cross entropy over the labelled pixels of the batch.

    A batch without a labelled pixel gives 0 and zero gradients, where the usual mean gives NaN.

    Args:
        logits: (B, C, H, W).
        labels: int64 (B, H, W), 0..C-1, 255 = ignore.
        class_weights: (C,), the mean is then weighted by the weight of each pixel's class.
        ohem_threshold: online hard example mining (Shrivastava et al., CVPR 2016): only pixels whose true class
            has at most this probability, in 0..1, are counted. None counts all.
        ohem_fraction: at least this share, in 0..1, of the labelled pixels is counted, the hardest first.
    """
    counted = labels != IGNORE
    classes = torch.where(counted, labels, 0)
    # Not F.cross_entropy: it gives the same numbers, but has no deterministic form on CUDA.
    losses = -F.log_softmax(logits, dim=1).gather(1, classes[:, None])[:, 0]
    if ohem_threshold is not None:
        counted = counted & (losses.detach() >= _ohem_cut(losses.detach()[counted], ohem_threshold, ohem_fraction))
    weights = counted.to(losses.dtype)
    if class_weights is not None:
        weights = weights * class_weights.to(losses)[classes]
    total = weights.sum()
    return (losses * weights).sum() / torch.where(total > 0, total, 1)


def _ohem_cut(losses: Tensor, threshold: float, fraction: float) -> Tensor:
    """The smallest loss that makes a pixel hard, given the losses of the labelled pixels (K,)."""
    cut = -torch.log(losses.new_tensor(threshold))
    kept = min(losses.numel(), round(fraction * losses.numel()))
    return cut if kept == 0 else torch.minimum(cut, torch.topk(losses, kept).values[-1])


class SegmentationLoss(nn.Module):
    """Cross entropy of the head plus a weighted one of each auxiliary head.

    PSPNet (Zhao et al., CVPR 2017) has one such head and the weight 0.4, BiSeNetV2 (Yu et al., IJCV 2021) four and 1.

    Args:
        class_weights: one weight a class, or None.
        ohem_threshold, ohem_fraction: hard example mining, see :func:`cross_entropy`; None turns it off.
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
            auxiliary: logits (B, C, h', w') of each auxiliary head; their sizes may differ.
        """
        loss = self._upsampled(logits, labels)
        if not self.auxiliary_weight:
            # Without their gradient, several processes would wait for it.
            return loss + sum(0 * head.sum() for head in auxiliary)
        for head in auxiliary:
            loss = loss + self.auxiliary_weight * self._upsampled(head, labels)
        return loss

    def weight(self, labels: Tensor) -> Tensor:
        """Weight of a batch's loss in a mean over several batches: float64 scalar.

        It is the sum of the class weights of the labelled pixels, so that the parts of a batch average to the mean over
        the whole. Hard examples are mined in each part separately.
        """
        labelled = labels[labels != IGNORE]
        if self.class_weights is None:
            return labels.new_tensor(labelled.numel(), dtype=torch.float64)
        return self.class_weights.double()[labelled].sum()

    def _upsampled(self, logits: Tensor, labels: Tensor) -> Tensor:
        # In channels-last memory the steps that follow take nearly twice as long.
        logits = resized(logits.contiguous(), labels.shape[-2:])
        return cross_entropy(logits, labels, self.class_weights, self.ohem_threshold, self.ohem_fraction)
