"""Cross entropy against a NumPy computation in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from etc.training.cross_entropy import SegmentationLoss, cross_entropy

CLASSES = 5


def batch(seed=0, size=(6, 7)):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(2, CLASSES, *size))
    labels = rng.integers(0, CLASSES, size=(2, *size))
    labels[rng.random(labels.shape) < 0.3] = 255
    return torch.from_numpy(logits), torch.from_numpy(labels)


def reference(logits, labels, weights=None, threshold=None, fraction=0.0):
    scores = np.moveaxis(logits.numpy(), 1, -1)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    kept = labels.numpy() != 255
    truth = labels.numpy()[kept]
    probability = scores[kept][np.arange(truth.size), truth]
    order = np.argsort(probability)
    if threshold is not None:
        count = max((probability <= threshold).sum(), round(fraction * truth.size))
        order = order[:count]
    weight = np.ones(truth.size) if weights is None else np.asarray(weights)[truth]
    return np.sum(weight[order] * -np.log(probability[order])) / np.sum(weight[order])


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.1, 3.0]])
@pytest.mark.parametrize(("threshold", "fraction"), [(None, 0.0), (0.3, 0.0), (0.01, 0.5), (0.5, 1.0)])
def test_equals_numpy(weights, threshold, fraction):
    logits, labels = batch()
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    loss = cross_entropy(logits, labels, tensor, threshold, fraction)
    assert loss.item() == pytest.approx(reference(logits, labels, weights, threshold, fraction), rel=1e-9)


def test_equals_torch_mean():
    logits, labels = batch()
    torch.testing.assert_close(cross_entropy(logits, labels), F.cross_entropy(logits, labels, ignore_index=255))


@pytest.mark.parametrize("options", [{}, {"ohem_threshold": 0.7, "ohem_fraction": 0.2}])
@pytest.mark.parametrize("weights", [None, torch.ones(CLASSES)])
def test_batch_without_labels_gives_zero(weights, options):
    logits, labels = batch()
    logits.requires_grad_()
    loss = cross_entropy(logits, torch.full_like(labels, 255), weights, **options)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_ignored_pixels_get_no_gradient():
    logits, labels = batch()
    logits.requires_grad_()
    cross_entropy(logits, labels).backward()
    moved = logits.grad.abs().sum(1) > 0
    assert torch.equal(moved, labels != 255)


def test_gradients():
    logits, labels = batch(size=(2, 3))
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, weights), logits.requires_grad_())


def test_module_upsamples_and_adds_the_auxiliary_head():
    logits, labels = batch(size=(8, 12))
    small, auxiliary = (x.clone() for x in F.avg_pool2d(logits, 2).float().chunk(2))
    small, auxiliary = small.repeat(2, 1, 1, 1), auxiliary.repeat(2, 1, 1, 1)

    def expected(x):
        return reference(F.interpolate(x, size=(8, 12), mode="bilinear", align_corners=False).double(), labels)

    module = SegmentationLoss()
    assert module(small, labels).item() == pytest.approx(expected(small), rel=1e-5)
    total = expected(small) + 0.4 * expected(auxiliary)
    assert module(small, labels, (auxiliary,)).item() == pytest.approx(total, rel=1e-5)


def test_a_weight_of_0_leaves_the_auxiliary_heads_out_but_in_the_graph():
    logits, labels = batch(size=(8, 12))
    head = torch.randn_like(logits, requires_grad=True)
    module = SegmentationLoss(auxiliary_weight=0.0)
    loss = module(logits, labels, (head,))
    assert loss.item() == module(logits, labels).item()
    (gradient,) = torch.autograd.grad(loss, head)
    assert not gradient.any()


def test_class_weights_are_not_saved():
    assert not SegmentationLoss(class_weights=[1.0, 2.0]).state_dict()


def test_half_precision_logits_give_a_float32_loss():
    logits, labels = batch()
    half = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SegmentationLoss(class_weights=[1.0] * CLASSES)(half, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference(half.detach().double(), labels), rel=1e-5)
    assert half.grad.isfinite().all()
