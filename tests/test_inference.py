"""Prediction: layout, averaging over scales and flip, independence of the batch size."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from etc.inference import predict, probabilities, to_tensor


class Output(NamedTuple):
    logits: torch.Tensor


class Network(nn.Module):
    """One asymmetric convolution at an eighth of the resolution."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Conv2d(3, 4, 9, stride=8, padding=4)

    def forward(self, x):
        return Output(self.layer(x))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3)).astype(np.uint8)


def test_to_tensor_keeps_values_and_order(images):
    tensor = to_tensor(images)
    assert tensor.shape == (3, 3, 32, 48)
    assert torch.equal(tensor[1, 2], torch.from_numpy(images[1, :, :, 2] / np.float32(255)))


def test_probabilities_are_the_mean_over_all_views(images):
    network, tensor = Network().eval(), to_tensor(images)
    with torch.no_grad():
        result = probabilities(network, tensor, (1.0, 0.5), flip=True)
        expected = torch.zeros_like(result)
        for size in ((32, 48), (16, 24)):
            view = nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)
            for mirror in (False, True):
                logits = network(view.flip(3) if mirror else view).logits
                one = nn.functional.interpolate(logits, size=(32, 48), mode="bilinear", align_corners=False).softmax(1)
                expected += (one.flip(3) if mirror else one) / 4
    assert torch.allclose(result, expected, atol=1e-6)
    assert torch.allclose(result.sum(1), torch.ones(3, 32, 48), atol=1e-5)


def test_flip_averaging_is_symmetric(images):
    network, tensor = Network().eval(), to_tensor(images)
    with torch.no_grad():
        straight = probabilities(network, tensor, flip=True)
        mirrored = probabilities(network, tensor.flip(3), flip=True).flip(3)
    assert torch.allclose(straight, mirrored, atol=1e-6)


def test_prediction_does_not_depend_on_the_batch(images):
    network = Network().eval()
    one, all_at_once = predict(network, images, 1), predict(network, images, 8)
    assert one.shape == (3, 32, 48) and one.dtype == np.uint8
    assert (one == all_at_once).all()
