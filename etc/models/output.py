"""The interface of every network.

A network is a module that maps images, float (B, 3, H, W), RGB in 0..1, any H and W, to an :class:`Output`. It
normalises the images itself. In addition to ``forward`` it has

- ``backbone``: the submodule that learns at the learning rate itself; all other parameters learn at the head's rate.
  Weights trained on ImageNet go there (``etc.models.weights.load_backbone``). Its optional attribute ``left_out`` lists
  prefixes of keys that are in such a file but not in the backbone, such as the classifier of 1000 classes;
- ``classifier``: the last convolution, 1x1, from ``features`` to ``logits``;
- ``auxiliary``, if there are heads that are used in training only: all of their parameters, and nothing else.

In training mode it rejects a batch of one image (:func:`require_several`).
"""

from typing import NamedTuple

from torch import Tensor

from etc.core.errors import UserError


class Output(NamedTuple):
    """The output for a batch.

    Attributes:
        logits: (B, classes, h, w), with h = ceil(H / s), w = ceil(W / s), where s is the network's output stride.
        features: (B, C, h, w), the map before the classifier and before dropout, for distillation.
        auxiliary: in training mode the logits (B, classes, h', w') of each auxiliary head, of differing sizes; empty in
            evaluation mode, and for a network without such heads.
    """

    logits: Tensor
    features: Tensor
    auxiliary: tuple[Tensor, ...] = ()


def require_several(image: Tensor, training: bool) -> None:
    """Reject a training batch of one: a map of one pixel, which global pooling gives, would have no variance.

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
