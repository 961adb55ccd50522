"""What every network has and gives: the contract between the networks and all that uses them.

A network is a module that maps images, float (B, 3, H, W), RGB in 0..1, any H and W, to an :class:`Output`. The
normalisation is inside. Beside ``forward`` it has

- ``backbone``: the submodule that learns at the learning rate itself; all other parameters learn at the head's rate.
  Weights trained on ImageNet go there (``etc.models.weights.load_backbone``). Its attribute ``left_out``, where it has
  one, names the first parts of the keys that such a file has and the backbone has not, as the classifier of 1000
  classes;
- ``classifier``: the last convolution, 1x1, from ``features`` to ``logits``;
- ``auxiliary``, where there are heads that only training uses: all of their parameters, and nothing else.

In training mode it refuses a batch of one image (:func:`require_several`).
"""

from typing import NamedTuple

from torch import Tensor

from etc.core.errors import UserError


class Output(NamedTuple):
    """What the network says about a batch.

    Attributes:
        logits: (B, classes, h, w), with h = ceil(H / s), w = ceil(W / s), where s is the network's output stride.
        features: (B, C, h, w), the map before the classifier and before dropout, for distillation.
        auxiliary: in training mode the logits (B, classes, h', w') of each auxiliary head, all of their own size; empty
            in evaluation mode, and for a network that has no such heads.
    """

    logits: Tensor
    features: Tensor
    auxiliary: tuple[Tensor, ...] = ()


def require_several(image: Tensor, training: bool) -> None:
    """Refuse to train on a batch of one: a map of one pixel, as global pooling makes, would have no variance.

    Args:
        image: (B, 3, H, W).
        training: whether the network is in training mode.

    Raises:
        UserError: one image in training mode.
    """
    if training and image.shape[0] == 1:
        raise UserError(
            "batch of 1 image: the networks train with batch normalisation; use a batch size of at least 2 a process"
        )
