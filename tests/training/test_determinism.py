import torch

from etc.training.determinism import seed_step, set_determinism


def drawn(*state):
    seed_step(*state, torch.Generator())
    return torch.rand(4)


def test_a_step_draws_the_same_whatever_came_before():
    first = drawn(0, 7, 0)
    torch.rand(100)
    assert torch.equal(drawn(0, 7, 0), first)


def test_seed_step_and_part_all_matter():
    states = [(seed, step, part) for seed in range(3) for step in range(20) for part in range(4)]
    values = {tuple(drawn(*state).tolist()) for state in states}
    assert len(values) == len(states)


def test_masks_are_those_of_part_0_in_every_part():
    whole = drawn(2, 7, 0)
    for part in range(4):
        seed_step(2, 7, part, masks := torch.Generator())
        assert torch.equal(torch.rand(4, generator=masks), whole)


def test_same_seed_same_weights():
    weights = []
    for _ in range(2):
        set_determinism(3, threads=1)
        weights.append(torch.nn.Conv2d(3, 4, 3).weight.detach().clone())
    assert torch.equal(*weights)
    assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1
