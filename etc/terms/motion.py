"""Temporal loss TL as a module."""

from torch import Tensor, nn

from etc.terms.functional import MotionForm, motion_loss


class MotionLoss(nn.Module):
    """Motion-guided temporal loss, see ``functional.motion_loss``.

    Args:
        form: ``paper`` or ``released_code``.
    """

    def __init__(self, form: MotionForm = "paper") -> None:
        super().__init__()
        self.form = form

    def forward(
        self,
        logits_t: Tensor,
        logits_s: Tensor,
        image_t: Tensor,
        image_s: Tensor,
        flow: Tensor,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch of frame pairs; every tensor has the height and width of the logits."""
        return motion_loss(logits_t, logits_s, image_t, image_s, flow, visible, form=self.form)
