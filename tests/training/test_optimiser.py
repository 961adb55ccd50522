"""Schedules of the learning rate, and that AdamW is AdamW, in parts that resume to the same bits."""

import math

import pytest
import torch

from etc.core.params_file import load_block
from etc.models import registry
from etc.params import student as params
from etc.stages import student
from etc.training.cross_entropy import SegmentationLoss
from etc.training.objective import Objective
from etc.training.optimiser import learning_rate, make_optimiser
from tests.training import toy
from tests.training.children import start, train_and_die
from tests.training.test_resume import WORK, clear, result

SHIPPED = load_block(toy.ROOT / "params/student.yaml", "street", params.StudentParams).training


def rates(steps, **changes):
    settings = SHIPPED.model_copy(update={"lr": 1.0, "warmup": 0, "power": 0.9, "schedule": "polynomial"} | changes)
    return [learning_rate(step, steps, settings) for step in range(steps)]


def test_polynomial_decay():
    assert rates(4, lr=0.1) == pytest.approx([0.1, 0.1 * 0.75**0.9, 0.1 * 0.5**0.9, 0.1 * 0.25**0.9])
    assert set(rates(7, lr=0.3, power=0)) == {0.3}


def test_cosine_decay():
    assert rates(4, lr=0.2, schedule="cosine") == pytest.approx(
        [0.2, 0.1 + 0.1 * math.sqrt(0.5), 0.1, 0.1 - 0.1 * math.sqrt(0.5)]
    )


@pytest.mark.parametrize("schedule", ["polynomial", "cosine"])
def test_warmup_rises_and_then_leaves_the_curve_alone(schedule):
    warm, plain = rates(100, schedule=schedule, warmup=4), rates(100, schedule=schedule)
    assert warm[:4] == pytest.approx([plain[step] * (step + 1) / 5 for step in range(4)])
    assert warm[4:] == plain[4:]


def test_fused_adamw_follows_its_equations_on_weights_of_any_layout():
    """Against the plain loop of Loshchilov and Hutter (ICLR 2019), algorithm 2, in float64; 1e-6 is float32's."""
    torch.manual_seed(0)
    network = registry.build("pspnet18", 5, 8).to(memory_format=torch.channels_last)
    objective = Objective(network, SegmentationLoss(), {}, {})
    settings = SHIPPED.model_copy(update={"optimiser": "adamw", "lr": 0.01, "weight_decay": 0.1, "head_lr_factor": 3.0})
    optimiser = make_optimiser(objective, settings)
    weights = [p.detach().double().contiguous() for group in optimiser.param_groups for p in group["params"]]
    factors = [group["lr_factor"] for group in optimiser.param_groups for _ in group["params"]]
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    for step in range(1, 4):
        images = torch.rand(2, 3, 32, 48).contiguous(memory_format=torch.channels_last)
        network(images).logits.square().mean().backward()
        for group in optimiser.param_groups:
            group["lr"] = 0.01 * group["lr_factor"]
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for place, parameter in enumerate(parameters):
            gradient = torch.zeros_like(weights[place]) if parameter.grad is None else parameter.grad.double()
            if parameter.grad is None:
                continue
            first, second = moments[place]
            first.mul_(0.9).add_(0.1 * gradient)
            second.mul_(0.999).add_(0.001 * gradient.square())
            rate = 0.01 * factors[place]
            change = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            weights[place].sub_(rate * (change + 0.1 * weights[place]))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    for parameter, expected in zip(parameters, weights, strict=True):
        torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-5, atol=1e-5)


def test_adamw_killed_and_started_again_ends_with_the_same_bytes(project):
    toy.write_params(project, "student", {"training.optimiser": "adamw", "training.schedule": "cosine"})
    student.run("street", "pspnet18", "etc", 0)
    expected = result()
    clear()
    process = start(train_and_die, "step", 4)
    process.join(60)
    assert (WORK / "checkpoint.pt").exists()
    student.run("street", "pspnet18", "etc", 0)
    assert result() == expected
    toy.write_params(project, "student", {"training.schedule": "cosine"})
    student.run("street", "pspnet18", "etc", 0)
    assert result()[0] != expected[0]
