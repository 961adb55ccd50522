"""The motion loss against a NumPy computation in float64, one pixel at a time."""

import numpy as np
import pytest
import torch

from etc.core.errors import UserError
from etc.terms.functional import motion_loss

FORMS = ("paper", "released_code")
STD = np.array([0.229, 0.224, 0.225])


def pair(size=(6, 8), classes=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 2, classes, *size))
    images = rng.random(size=(2, 2, 3, *size))
    flow = rng.normal(size=(2, 2, *size))
    visible = rng.random(size=(2, *size)) < 0.7
    return tuple(torch.from_numpy(x) for x in (*logits, *images, flow, visible))


def sample(x, u, v):
    """x (C, H, W) at column u, row v; each corner weighs by its distance."""
    total = np.zeros(x.shape[0])
    for row, column in np.ndindex(*x.shape[1:]):
        total += x[:, row, column] * max(0, 1 - abs(u - column)) * max(0, 1 - abs(v - row))
    return total


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def reference(logits_t, logits_s, image_t, image_s, flow, visible, form):
    losses = []
    batch, _, height, width = logits_t.shape
    scores_s = np.stack([np.apply_along_axis(softmax, 0, x) for x in logits_s])
    for b, row, column in np.ndindex(batch, height, width):
        u, v = column + flow[b, 0, row, column], row + flow[b, 1, row, column]
        if not (0 <= u <= width - 1 and 0 <= v <= height - 1 and visible[b, row, column]):
            continue
        colour = image_t[b, :, row, column] - sample(image_s[b], u, v)
        here = logits_t[b, :, row, column]
        if form == "paper":
            difference = softmax(here) - sample(scores_s[b], u, v)
            losses.append(np.exp(-np.sqrt(np.sum(colour**2))) * np.sum(difference**2))
        else:
            weight = np.exp(-abs(np.sum(colour / STD)))
            losses.append(np.mean((weight * (here - sample(logits_s[b], u, v))) ** 2))
    return np.mean(losses)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("masked", [False, True])
def test_equals_numpy(form, masked):
    *tensors, visible = pair()
    mask = visible if masked else None
    expected = reference(*(x.numpy() for x in tensors), visible.numpy() if masked else np.ones((2, 6, 8)), form)
    assert motion_loss(*tensors, mask, form).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("motion", [(0.0, 0.0), (3.0, 0.0), (-2.5, 4.5)])
def test_equals_numpy_at_zero_flow_and_where_much_leaves_the_frame(form, motion):
    *tensors, flow, visible = pair()
    flow = torch.tensor(motion, dtype=torch.float64).view(1, 2, 1, 1).expand_as(flow)
    expected = reference(*(x.numpy() for x in (*tensors, flow)), visible.numpy(), form)
    assert motion_loss(*tensors, flow, visible, form).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_both_frames(form):
    logits_t, logits_s, *rest = pair(size=(3, 4), classes=2)
    logits_t.requires_grad_(), logits_s.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: motion_loss(a, b, *rest, form), (logits_t, logits_s))
    motion_loss(logits_t, logits_s, *rest, form).backward()
    assert logits_t.grad.abs().sum() > 0
    assert logits_s.grad.abs().sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_still_frames_have_no_loss(form):
    logits, _, image, *_ = pair()
    assert motion_loss(logits, logits, image, image, torch.zeros(2, 2, 6, 8), form=form).item() == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["hidden", "out of frame"])
def test_nothing_to_compare_gives_zero(form, case):
    logits_t, logits_s, image_t, image_s, flow, visible = pair()
    flow = torch.full_like(flow, 100) if case == "out of frame" else flow
    visible = torch.zeros_like(visible) if case == "hidden" else None
    logits_t.requires_grad_(), logits_s.requires_grad_()
    loss = motion_loss(logits_t, logits_s, image_t, image_s, flow, visible, form)
    loss.backward()
    assert loss.item() == 0
    assert (logits_t.grad == 0).all() and (logits_s.grad == 0).all()


def test_paper_form_weighs_unlike_colours_down():
    """Black against white differs by sqrt(3), so that the loss falls by exp(-sqrt(3)) exactly."""
    logits_t, logits_s, *_ = pair()
    still = torch.zeros(2, 2, 6, 8)
    black, white = torch.zeros(2, 3, 6, 8).double(), torch.ones(2, 3, 6, 8).double()
    same = motion_loss(logits_t, logits_s, black, black, still)
    unlike = motion_loss(logits_t, logits_s, black, white, still)
    assert (unlike / same).item() == pytest.approx(np.exp(-np.sqrt(3)), rel=1e-12)


def test_released_form_does_not_see_colours_whose_differences_cancel():
    """The released code sums the channels before the absolute value; the paper's norm does not."""
    logits_t, logits_s, *_ = pair()
    still, image = torch.zeros(2, 2, 6, 8), torch.full((2, 3, 6, 8), 0.5).double()
    other = image + torch.tensor([0.229, -0.224, 0.0]).double().view(1, 3, 1, 1)
    losses = {
        form: [motion_loss(logits_t, logits_s, image, x, still, form=form).item() for x in (image, other)]
        for form in FORMS
    }
    assert losses["released_code"][0] == pytest.approx(losses["released_code"][1], rel=1e-6)
    assert losses["paper"][1] < 0.8 * losses["paper"][0]


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_logits_give_a_float32_loss(form):
    logits_t, logits_s, *rest, visible = pair()
    half = [x.bfloat16().requires_grad_() for x in (logits_t, logits_s)]
    rest = [x.float() for x in rest]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = motion_loss(*half, *rest, visible, form)
    loss.backward()
    arrays = [x.detach().double().numpy() for x in (*half, *rest)]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference(*arrays, visible.numpy(), form), rel=1e-4)
    assert all(x.grad.isfinite().all() for x in half)


def test_wrong_input_is_named():
    *tensors, visible = pair()
    with pytest.raises(UserError, match="unknown form 'code'; use one of paper, released_code"):
        motion_loss(*tensors, visible, form="code")
    with pytest.raises(ValueError, match=r"one size, got \[\(3, 4\), \(6, 8\)\]"):
        motion_loss(*tensors[:4], tensors[4][..., :3, :4])
