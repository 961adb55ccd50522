"""A batch cut into parts, or shared by processes, is minimised as the whole batch would be."""

import numpy as np
import pytest
import torch

from etc.core.params_file import load_block
from etc.models import registry
from etc.params import student as params
from etc.terms.scheme import build_terms
from etc.training.batches import Batch
from etc.training.cross_entropy import SegmentationLoss
from etc.training.objective import Objective, outputs_per_frame
from tests.training import toy

CLASSES, SIZE = 5, (16, 24)
WEIGHTS = [0.3, 1.0, 2.5, 0.7, 4.0]
SCHEME = {"tl": 3.0, "sf": 1.0, "pf": 1.0, "mf": 0.1}
LOSSES = load_block(toy.ROOT / "params/student.yaml", "street", params.StudentParams).losses


def batch_of(samples, hidden=0.7):
    """Samples whose numbers of labelled and of visible pixels differ widely."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, (samples, *SIZE))
    visible = np.ones((samples, *SIZE), bool)
    for number in range(samples):
        labels[number, : 3 * number] = 255
        visible[number, :, int(SIZE[1] * (1 - hidden * number / samples)) :] = False
    flow = rng.normal(0, 2, (samples, 2, *SIZE)).astype(np.float32)
    order = np.stack([rng.permutation(3) for _ in range(samples)])
    images = torch.from_numpy(rng.random((3, samples, 3, *SIZE)).astype(np.float32))
    tensors = (torch.from_numpy(x) for x in (labels, flow, visible, order))
    return Batch(images, *tensors, tuple(map(str, range(samples))))


def cut(batch, parts):
    pieces = [
        field.chunk(parts, dim=1 if name == "images" else 0)
        for name, field in zip(Batch._fields[:-1], batch[:-1], strict=True)
    ]
    return [Batch(*piece, ()) for piece in zip(*pieces, strict=True)]


def objective(**changes):
    """Student in evaluation mode: normalisation and dropout do look at the parts, and are not what is tested."""
    torch.manual_seed(0)
    student = registry.build("pspnet18", CLASSES, 8).eval()
    return Objective(student, SegmentationLoss(WEIGHTS, **changes), build_terms(SCHEME, LOSSES), SCHEME).double()


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_with_their_shares_are_the_whole(parts):
    made, whole = objective(), batch_of(4)
    whole = whole._replace(images=whole.images.double(), flow=whole.flow.double())
    teacher = registry.build("pspnet18", CLASSES, 8).double().eval()

    def taught(batch):
        with torch.no_grad():
            return outputs_per_frame(teacher, batch.images)

    expected = made(whole, taught(whole), torch.ones(5))
    expected_gradient = torch.autograd.grad(expected[0], made.student.classifier.weight)[0]
    pieces = cut(whole, parts)
    counts = torch.stack([made.counts(piece) for piece in pieces])
    assert len(set(counts[:, 0].tolist())) == len(set(counts[:, 1].tolist())) == parts
    shares = counts / counts.sum(0) * parts
    values = torch.stack([made(piece, taught(piece), share) for piece, share in zip(pieces, shares, strict=True)]).mean(
        0
    )
    torch.testing.assert_close(values, expected)
    gradient = torch.autograd.grad(values[0], made.student.classifier.weight)[0]
    torch.testing.assert_close(gradient, expected_gradient)


def test_counts_are_class_weights_visible_pixels_and_samples():
    batch, made = batch_of(3), objective()
    labels, stride = batch.labels.numpy(), LOSSES.tl.stride
    expected = sum(WEIGHTS[label] for label in labels[labels != 255])
    counts = dict(zip(made.names[1:], made.counts(batch).tolist(), strict=True))
    assert counts["ce"] == pytest.approx(expected, rel=1e-6)
    assert counts["sf"] == counts["pf"] == counts["mf"] == 3
    still = batch._replace(flow=torch.zeros_like(batch.flow), visible=torch.zeros_like(batch.visible))
    still.visible[0, :8] = True
    assert made.terms["tl"].count(still).item() == 8 * SIZE[1] / stride**2
    away = batch._replace(flow=torch.full_like(batch.flow, 1000.0))
    assert made.terms["tl"].count(away).item() == 0


def test_unweighted_count_is_the_number_of_labelled_pixels():
    labels = torch.tensor([[[0, 1, 255], [2, 255, 255]]])
    assert SegmentationLoss().weight(labels).item() == 3
    assert SegmentationLoss([2.0, 0.5, 1.0]).weight(labels).item() == 3.5
    assert SegmentationLoss([2.0, 0.5, 1.0]).weight(torch.full_like(labels, 255)).item() == 0
