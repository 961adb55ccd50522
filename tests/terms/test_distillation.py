"""Distillation losses against NumPy in float64, their memory, and what keeps MF from collapsing."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch

from etc.models.output import Output
from etc.models.registry import build
from etc.params.student import SingleFrameParams
from etc.terms.distillation import MultiFrameLoss, SingleFrameTerm
from etc.terms.functional import (
    pair_of_frames_loss,
    pair_wise_loss,
    pixel_wise_divergence,
    self_similarity,
    teacher_weights,
)


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def cosines(x, y):
    """(C, H, W) twice to the matrix of cosines between all pixels."""
    x, y = (z.reshape(z.shape[0], -1) for z in (x, y))
    return np.array([[p @ q / np.sqrt(p @ p * (q @ q)) for q in y.T] for p in x.T])


def pooled(x, grid):
    """Mean of equal blocks."""
    channels, height, width = x.shape
    return x.reshape(channels, grid[0], height // grid[0], grid[1], width // grid[1]).mean((2, 4))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_pixel_wise_divergence_equals_numpy(temperature):
    student, teacher = random(2, 5, 3, 4), random(2, 5, 3, 4, seed=1)
    p, q = (np.exp(x.numpy() / temperature) for x in (teacher, student))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = temperature**2 * np.mean(np.sum(p * np.log(p / q), axis=1))
    assert pixel_wise_divergence(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("grid", [None, (2, 3)])
def test_pair_wise_equals_numpy(grid):
    student, teacher = random(2, 5, 4, 6), random(2, 8, 4, 6, seed=1)
    expected = []
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        s, t = (s, t) if grid is None else (pooled(s, grid), pooled(t, grid))
        expected.append(np.mean((cosines(s, s) - cosines(t, t)) ** 2))
    assert pair_wise_loss(student, teacher, grid).item() == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize("grid", [None, (2, 3)])
def test_pair_of_frames_equals_numpy(grid):
    student = random(2, 5, 4, 6), random(2, 5, 4, 6, seed=1)
    teacher = random(2, 3, 4, 6, seed=2), random(2, 3, 4, 6, seed=3)
    expected = []
    for b in range(2):
        maps = [x[b].numpy() if grid is None else pooled(x[b].numpy(), grid) for x in (*student, *teacher)]
        expected.append(np.mean((cosines(*maps[:2]) - cosines(*maps[2:])) ** 2))
    assert pair_of_frames_loss(*student, *teacher, grid).item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_pair_of_frames_in_float32_equals_the_plain_matrices():
    """Loss and gradients, on nearly equal maps, where the terms of the sum cancel most."""
    student = [random(1, 64, 20, 20, seed=k).float().relu().requires_grad_() for k in (0, 1)]
    teacher = [x.detach() + 0.05 * random(*x.shape, seed=k).float() for k, x in enumerate(student, 2)]
    loss = pair_of_frames_loss(*student, *teacher)
    gradients = torch.autograd.grad(loss, student)

    plain_student = [x.detach().double().requires_grad_() for x in student]
    unit = [torch.nn.functional.normalize(x.double().flatten(2), dim=1) for x in (*plain_student, *teacher)]
    plain = (unit[0].transpose(1, 2) @ unit[1] - unit[2].transpose(1, 2) @ unit[3]).square().mean()
    expected = torch.autograd.grad(plain, plain_student)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for gradient, other in zip(gradients, expected, strict=True):
        assert (gradient - other).norm() < 1e-4 * other.norm()


def test_equal_features_have_no_loss():
    x, y = random(1, 5, 4, 6), random(1, 5, 4, 6, seed=1)
    assert pair_of_frames_loss(x, y, 2 * x, y).item() == pytest.approx(0, abs=1e-14)


def test_gradients():
    student = [random(1, 3, 2, 3, seed=k).requires_grad_() for k in (0, 1)]
    teacher = [random(1, 4, 2, 3, seed=k) for k in (2, 3)]
    assert torch.autograd.gradcheck(lambda x, y: pair_of_frames_loss(x, y, *teacher), student)
    assert torch.autograd.gradcheck(lambda x: pair_wise_loss(x, teacher[0]), student[0])
    assert torch.autograd.gradcheck(lambda x: pixel_wise_divergence(x, student[1], 2.0), student[0])


def test_pixel_without_features_gets_a_finite_gradient():
    """After a rectifier a pixel can be all zeros."""
    student = random(1, 4, 3, 3).float()
    student[..., 1, 1] = 0
    student.requires_grad_()
    loss = pair_wise_loss(student, random(1, 4, 3, 3, seed=1).float())
    loss.backward()
    assert loss.isfinite()
    assert (student.grad[..., 1, 1] == 0).all()
    assert student.grad.abs().max() < 10


def test_maps_of_unlike_size_need_a_grid():
    student, teacher = random(1, 4, 4, 6), random(1, 4, 2, 3)
    with pytest.raises(ValueError, match="same number of nodes"):
        pair_wise_loss(student, teacher)
    assert pair_wise_loss(student, teacher, (2, 3)).isfinite()


def single_frame_loss(student, teacher, temperature=1.0, pair_weight=1.0, grid=None, class_weights=None, sure=0.0):
    """SF of the labelled frame alone."""
    params = SingleFrameParams(
        temperature=temperature,
        pair_weight=pair_weight,
        grid=grid,
        other_frames=0,
        class_weighted=class_weights is not None,
        min_confidence=sure,
    )
    return SingleFrameTerm(params, 1, class_weights)(None, [student], [teacher])


def test_single_frame_loss_is_the_divergence_plus_the_weighted_similarity():
    logits, features = (random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1)), (random(1, 5, 4, 4), random(1, 9, 4, 4))
    pixel, pair = pixel_wise_divergence(*logits, 2.0).item(), pair_wise_loss(*features, (2, 2)).item()
    outputs = [Output(*each) for each in zip(logits, features, strict=True)]
    assert single_frame_loss(*outputs, 2.0, 3.0, (2, 2)).item() == pytest.approx(pixel + 3 * pair)
    assert single_frame_loss(*outputs, 2.0, 0.0).item() == pytest.approx(pixel)


@pytest.mark.parametrize("class_weights", [None, [0.5, 2.0, 1.0, 3.0]])
@pytest.mark.parametrize("sure", [0.0, 0.6])
def test_pixels_of_sf_count_by_the_class_and_the_confidence_of_the_teacher(class_weights, sure):
    logits = 3 * random(2, 4, 3, 5), 3 * random(2, 4, 3, 5, seed=1)
    outputs = [Output(each, random(2, 3, 3, 5)) for each in logits]
    q, p = (np.exp(each.numpy() / 2.0) for each in logits)
    q, p = q / q.sum(1, keepdims=True), p / p.sum(1, keepdims=True)
    cold = np.exp(logits[1].numpy())
    cold /= cold.sum(1, keepdims=True)
    total = counted = 0.0
    left_out = 0
    for b, y, x in np.ndindex(2, 3, 5):
        winner = int(cold[b, :, y, x].argmax())
        if cold[b, winner, y, x] < sure:
            left_out += 1
            continue
        weight = 1.0 if class_weights is None else class_weights[winner]
        total += weight * 4.0 * float(np.sum(p[b, :, y, x] * np.log(p[b, :, y, x] / q[b, :, y, x])))
        counted += weight
    assert (left_out > 0) == (sure > 0) and left_out < 30
    loss = single_frame_loss(*outputs, 2.0, 0.0, class_weights=class_weights, sure=sure)
    assert loss.item() == pytest.approx(total / counted, rel=1e-6)


def test_sf_without_a_pixel_that_is_sure_enough_is_zero():
    student = random(1, 3, 2, 2).requires_grad_()
    teacher = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    loss = single_frame_loss(Output(student, student), Output(teacher, teacher), 1.0, 0.0, sure=0.5)
    loss.backward()
    assert loss.item() == 0 and not student.grad.any()
    assert teacher_weights(teacher, None, 0.3).all()


MEMORY_SCRIPT = """
import resource, torch
from etc.terms.functional import pair_of_frames_loss
torch.set_num_threads(1)
torch.manual_seed(0)
maps = [torch.randn(1, 512, 97, 97, requires_grad=k < 2) for k in range(4)]
pair_of_frames_loss(*(x[..., :4, :4] for x in maps)).backward()  # loads the libraries
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
loss = pair_of_frames_loss(*maps)
loss.backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)

# Another way to |X'Y - U'V|^2, by products of channels: |X'Y|^2 = <XX', YY'> and <X'Y, U'V> = <XU', YV'>.
x, y, u, v = (torch.nn.functional.normalize(z.detach()[0].flatten(1).double(), dim=0) for z in maps)
total = ((x @ x.T) * (y @ y.T) + (u @ u.T) * (v @ v.T) - 2 * (x @ u.T) * (y @ v.T)).sum()
print(loss.item(), total.item() / 9409**2)
"""


def test_pair_of_frames_memory_at_the_size_of_the_paper():
    """97 x 97 pixels and 512 channels in less than 1 GiB; the two plain float32 matrices alone are 0.7 GiB."""
    run = subprocess.run([sys.executable, "-c", MEMORY_SCRIPT], capture_output=True, text=True, check=True)
    gibibytes, loss, plain = map(float, run.stdout.split())
    assert gibibytes < 1
    assert loss == pytest.approx(plain, rel=1e-5)


def clip_of(frames=3, channels=6, seed=0, batch=1):
    return [random(batch, channels, 8, 8, seed=seed + k) for k in range(frames)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference_embedding(images, weight):
    """ConvLSTM over (N, N) images with the kernel (4 hidden, 1 + hidden, 3, 3), gates in, forget, out, candidate."""
    hidden = weight.shape[0] // 4
    size = images[0].shape[0]
    output = cell = np.zeros((hidden, size, size))
    for image in images:
        padded = np.pad(np.concatenate([image[None], output]), ((0, 0), (1, 1), (1, 1)))
        gates = np.zeros((4 * hidden, size, size))
        for i, j in np.ndindex(3, 3):
            gates += np.einsum("oc,chw->ohw", weight[:, :, i, j], padded[:, i : i + size, j : j + size])
        enter, forget, leave, candidate = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        output = sigmoid(leave) * np.tanh(cell)
    return output, cell


def test_multi_frame_equals_numpy():
    torch.manual_seed(0)
    module = MultiFrameLoss(grid=2, hidden=3, clip=0.5, regulariser=0.7).double()
    student, teacher = clip_of(), clip_of(channels=9, seed=10)
    weight = module.lstm.gates.weight.detach().numpy()
    embeddings = []
    for clip in (student, teacher):
        maps = [pooled(x[0].numpy(), (2, 2)) for x in clip]
        embeddings.append(reference_embedding([cosines(x, x) for x in maps], weight))
    (output_s, cell_s), (output_t, cell_t) = embeddings
    distance = np.sum((output_t - output_s) ** 2 + (cell_t - cell_s) ** 2) / 4**2
    expected = distance + 0.7 * np.mean(1 - cell_t)
    assert module(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_self_similarity_has_a_unit_diagonal():
    images = self_similarity(random(2, 5, 8, 8), (4, 4))
    assert images.shape == (2, 16, 16)
    torch.testing.assert_close(images.diagonal(dim1=1, dim2=2), torch.ones(2, 16).double())


def test_multi_frame_gradients():
    torch.manual_seed(0)
    module = MultiFrameLoss(grid=2, hidden=2).double()
    student = [x.requires_grad_() for x in clip_of(frames=2, channels=2)]
    teacher = [x.requires_grad_() for x in clip_of(frames=2, channels=3, seed=5)]
    small = [x[..., :4, :4].detach().requires_grad_() for x in student]
    assert torch.autograd.gradcheck(lambda *x: module(x, [y[..., :4, :4] for y in teacher]), small)
    module(student, teacher).backward()
    assert all(x.grad.abs().sum() > 0 for x in student)
    assert all(x.grad is None for x in teacher)
    assert module.lstm.gates.weight.grad.abs().sum() > 0


def test_clips_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="3 and 2 frames"):
        MultiFrameLoss()(clip_of(3), clip_of(2))


def test_weights_are_clipped():
    module = MultiFrameLoss(clip=0.05)
    assert module.lstm.gates.weight.abs().max() <= 0.05
    with torch.no_grad():
        module.lstm.gates.weight.fill_(3)
    module.clip_weights()
    assert (module.lstm.gates.weight == 0.05).all()


@functools.cache
def trained_embedding(clip, regulariser):
    """Train the ConvLSTM alone: mean absolute cell of the teacher before and after, gradient on the student after."""
    torch.manual_seed(0)
    module = MultiFrameLoss(grid=3, clip=clip, regulariser=regulariser)
    student = [x.float().relu()[..., :6, :6].requires_grad_() for x in clip_of()]
    teacher = [x.float().relu()[..., :6, :6] for x in clip_of(channels=9, seed=10)]
    optimiser = torch.optim.SGD(module.parameters(), lr=0.6, momentum=0.9)
    before = module.embed(teacher)[1].abs().mean().item()
    for _ in range(150):
        optimiser.zero_grad()
        module(student, teacher).backward()
        optimiser.step()
        module.clip_weights()
    gradient = torch.autograd.grad(module(student, teacher), student)
    return before, module.embed(teacher)[1].abs().mean().item(), sum(x.norm().item() for x in gradient)


def test_embedding_collapses_without_the_guards_and_not_with_them():
    for clip in (None, 0.1):
        before, after, dead = trained_embedding(clip=clip, regulariser=0.0)
        assert after < 0.001 * before
    before, after, alive = trained_embedding(clip=0.1, regulariser=1.0)
    assert after > 2 * before
    assert alive > 1000 * dead


def test_clipping_keeps_the_loss_from_saturating():
    """With the enlarging term alone the gates go into saturation, where the student's features no longer matter."""
    clipped, free = trained_embedding(clip=0.1, regulariser=1.0), trained_embedding(clip=None, regulariser=1.0)
    assert free[1] > 2.9  # of at most 3 frames
    assert clipped[2] > 10 * free[2]


def test_multi_frame_loss_is_not_inert():
    """At the default weights the gradient on the student's features is within a factor of 100 of SF's."""
    torch.manual_seed(0)
    student, teacher = build("pspnet18", 5, width=8).train(), build("pspnet18", 5, width=16).train()
    clip = torch.rand(3, 2, 3, 48, 64)
    with torch.no_grad():
        wanted = [teacher(x) for x in clip]
    features = [student(x).features.detach().requires_grad_() for x in clip]
    pairs = zip(features, wanted, strict=True)
    sf = sum(single_frame_loss(Output(student.classifier(x), x), y) for x, y in pairs) / 3
    mf = MultiFrameLoss()(features, [y.features for y in wanted])
    sizes = [sum(g.square().sum() for g in torch.autograd.grad(loss, features)).sqrt().item() for loss in (sf, mf)]
    assert 0.01 < sizes[1] / sizes[0] < 100


def test_autocast_does_not_change_the_losses():
    torch.manual_seed(0)
    student = [x.bfloat16() for x in clip_of()]
    teacher = [x.bfloat16() for x in clip_of(channels=9, seed=10)]
    module = MultiFrameLoss(grid=4)

    def losses(student, teacher):
        yield pixel_wise_divergence(student[0], student[1])
        yield pair_wise_loss(student[0], teacher[0])
        yield pair_of_frames_loss(*student[:2], *teacher[:2])
        yield module(student, teacher)

    expected = list(losses([x.float() for x in student], [x.float() for x in teacher]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = list(losses([x.requires_grad_() for x in student], teacher))
    for loss, other in zip(under, expected, strict=True):
        assert loss.dtype == torch.float32
        assert torch.equal(loss, other)
    sum(under).backward()
    assert all(x.grad.isfinite().all() for x in student)
