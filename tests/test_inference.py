"""Prediction: layout, averaging over scales and flip, independence of the batch size."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from etc.core.errors import UserError
from etc.inference import Segment, SegmentAveraged, as_network_input, predict, predict_averaged
from etc.models.fused import fused
from etc.models.registry import ARCHITECTURES, build


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


def test_network_input_keeps_values_and_order(images):
    tensor = as_network_input(torch.from_numpy(images))
    assert tensor.shape == (3, 3, 32, 48)
    assert torch.equal(tensor[1, 2], torch.from_numpy(images[1, :, :, 2] / np.float32(255)))


def test_probabilities_are_the_mean_over_all_views(images):
    network, pixels = Network().eval(), torch.from_numpy(images)
    tensor = as_network_input(pixels)
    with torch.no_grad():
        result, finite = SegmentAveraged(network, (1.0, 0.5), flip=True).probabilities(pixels)
        expected = torch.zeros_like(result)
        for size in ((32, 48), (16, 24)):
            view = nn.functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False)
            for mirror in (False, True):
                logits = network(view.flip(3) if mirror else view).logits
                one = nn.functional.interpolate(logits, size=(32, 48), mode="bilinear", align_corners=False).softmax(1)
                expected += (one.flip(3) if mirror else one) / 4
    assert torch.allclose(result, expected, atol=1e-6)
    assert torch.allclose(result.sum(1), torch.ones(3, 32, 48), atol=1e-5)
    assert finite


def test_flip_averaging_is_symmetric(images):
    averaged, pixels = SegmentAveraged(Network().eval(), (1.0,), flip=True), torch.from_numpy(images)
    with torch.no_grad():
        straight, _ = averaged.probabilities(pixels)
        mirrored, _ = averaged.probabilities(pixels.flip(2))
    assert torch.allclose(straight, mirrored.flip(3), atol=1e-6)


def test_prediction_does_not_depend_on_the_batch(images):
    network = Network().eval()
    one, all_at_once = predict(network, images, 1), predict(network, images, 8)
    assert one.shape == (3, 32, 48) and one.dtype == np.uint8
    assert (one == all_at_once).all()


def test_prediction_has_the_bits_of_the_plain_arithmetic(images):
    network = Network().eval()
    with torch.no_grad():
        logits = network(as_network_input(torch.from_numpy(images))).logits
        large = nn.functional.interpolate(logits, size=(32, 48), mode="bilinear", align_corners=False)
        mean, _ = SegmentAveraged(network, (1.0, 0.5), flip=True).probabilities(torch.from_numpy(images))
    np.testing.assert_array_equal(predict(network, images, 3), large.argmax(1).numpy())
    ids, confidence = predict_averaged(SegmentAveraged(network, (1.0, 0.5), flip=True), images)
    assert ids.dtype == np.uint8 and confidence.dtype == np.float32
    np.testing.assert_array_equal(ids, mean.argmax(1).numpy())
    np.testing.assert_array_equal(confidence, mean.amax(1).numpy())


def test_half_precision_moves_scores_a_little(images):
    network = Network().eval()
    whole, half = (predict_averaged(SegmentAveraged(network, (1.0,), False, half), images)[1] for half in (False, True))
    assert 0 < np.abs(whole - half).max() < 0.02


def trained(architecture):
    """A network whose normalisation is far from the identity, as after training."""
    torch.manual_seed(0)
    network = build(architecture, 5, 8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.double().eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fused_network_computes_the_same(architecture):
    network, image = trained(architecture), torch.rand(2, 3, 40, 56, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fast = fused(network)
    with torch.no_grad():
        torch.testing.assert_close(fast(image).logits, network(image).logits, rtol=1e-9, atol=1e-9)
    # Auxiliary heads do not run in evaluation, and one normalisation of BiSeNetV2 follows a mean, no convolution.
    left = {name for name, module in fast.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert all(name.startswith("auxiliary") for name in left - {"backbone.context.bn"})
    # The network itself stays as it was.
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def is_one_graph(segment):
    """Whether it compiles without a break, which would be an error, and computes the same."""
    torch.compiler.reset()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.uint8))
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    with torch.inference_mode():
        found = torch.compile(segment, backend=keep, fullgraph=True, dynamic=False)(pixels)
        expected = segment(pixels)
    same = all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    return len(graphs) == 1 and same and found[0].dtype == torch.uint8 and found[0].shape == (2, 64, 96)


@pytest.mark.parametrize("architecture", ["pspnet18", "mobilenetv2", "bisenetv2"])
def test_pixels_to_ids_are_one_graph(architecture):
    assert is_one_graph(Segment(fused(trained(architecture).float()), half=True))


def test_averaging_is_in_the_graph():
    assert is_one_graph(SegmentAveraged(fused(trained("pspnet18").float()), (0.75, 1.0), flip=True))


class Shared(nn.Module):
    """One convolution before two normalisations, and one normalisation that follows no convolution."""

    def __init__(self):
        super().__init__()
        self.layer, self.one, self.other, self.late = nn.Conv2d(3, 3, 1), *(nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, x):
        return self.late(self.one(self.layer(x)).relu() + self.other(self.layer(x + 1)))


def test_layers_that_run_twice_are_left_alone():
    torch.manual_seed(0)
    network = Shared().eval()
    for module in (network.one, network.other, network.late):
        module.running_mean.normal_()
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(fused(network)(x), network(x))


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="evaluation mode only"):
        fused(build("pspnet18", 5, 8))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_no_prediction(value):
    """The largest of NaNs is always the same class: a perfectly consistent prediction."""

    class Useless(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return Output(torch.full((x.shape[0], 3, 4, 4), value))

    with pytest.raises(UserError, match="scores are not finite numbers"):
        predict(Useless(), np.zeros((2, 8, 8, 3), np.uint8), 2)
    with pytest.raises(UserError, match="scores are not finite numbers"):
        predict_averaged(SegmentAveraged(Useless(), (1.0,), False), np.zeros((1, 8, 8, 3), np.uint8))
