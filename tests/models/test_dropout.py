"""Masks of dropout belong to the samples, however a batch is divided."""

import copy

import pytest
import torch
from torch import nn

from etc.models.dropout import Dropout2d, Part, set_part
from etc.models.registry import ARCHITECTURES, build
from etc.training.determinism import seed_step

FRAMES, SAMPLES = 3, 4


def cut(x, parts):
    """Parts of a batch whose images come frame by frame."""
    return [part.flatten(0, 1) for part in x.unflatten(0, (FRAMES, SAMPLES)).chunk(parts, dim=1)]


def joined(outputs):
    return torch.cat([x.unflatten(0, (FRAMES, -1)) for x in outputs], dim=1).flatten(0, 1)


def test_a_whole_batch_is_that_of_torch():
    x = torch.rand(6, 5, 2, 3)
    torch.manual_seed(1)
    own = Dropout2d(0.4)(x)
    torch.manual_seed(1)
    assert torch.equal(own, nn.Dropout2d(0.4)(x))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_get_the_masks_of_the_whole(parts, layout, kind):
    x = torch.rand(FRAMES * SAMPLES, 5, 2, 3).to(kind, memory_format=layout)
    network = nn.Sequential(Dropout2d(0.4), nn.Identity(), Dropout2d(0.3))
    masks = torch.Generator()
    seed_step(7, 3, 0, masks)
    whole = network(x)
    outputs = []
    for number, part in enumerate(cut(x, parts)):
        seed_step(7, 3, number, masks)
        set_part(network, Part(number, parts, FRAMES, masks))
        outputs.append(network(part))
    assert torch.equal(joined(outputs), whole)
    assert 0 < (whole == 0).float().mean() < 1
    network.eval()
    assert torch.equal(network(x), x)


def test_other_dropout_differs_between_parts():
    """That of a Hugging Face model draws from torch's generator, which each part seeds differently."""
    masks, drawn = torch.Generator(), []
    for part in range(2):
        seed_step(7, 3, part, masks)
        drawn.append((torch.rand(1).item(), torch.rand(1, generator=masks).item()))
    assert drawn[0][0] != drawn[1][0] and drawn[0][1] == drawn[1][1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_network_has_a_dropout_of_another_kind(architecture):
    kinds = {type(module) for module in build(architecture, 3, 8).modules() if "Dropout" in type(module).__name__}
    assert kinds <= {Dropout2d}


def test_a_network_that_trained_in_parts_can_be_copied_and_saved():
    network = nn.Sequential(Dropout2d(0.4))
    set_part(network, Part(0, 2, 1, torch.Generator()))
    assert network.state_dict() == {} and copy.deepcopy(network.eval())(torch.ones(1, 2, 3, 4)).sum() == 24
