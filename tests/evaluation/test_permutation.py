"""The paired test: against all exchanges written out, its bounds, and its rate of false alarms."""

from itertools import product

import numpy as np
import pytest

from etc.evaluation.iou import mean_ratio
from etc.evaluation.permutation import paired_p_value


def counts(rng, clips, classes=3):
    denominator = rng.integers(50, 100, (clips, classes))
    return rng.integers(0, denominator + 1), denominator


def by_definition(first, second):
    observed = mean_ratio(*(one.sum(axis=0) for one in second)) - mean_ratio(*(one.sum(axis=0) for one in first))
    extreme = 0
    choices = list(product([False, True], repeat=len(first[0])))
    for choice in choices:
        swap = np.array(choice)[:, None]
        ones = [np.where(swap, b, a).sum(axis=0) for a, b in zip(first, second, strict=True)]
        others = [np.where(swap, a, b).sum(axis=0) for a, b in zip(first, second, strict=True)]
        extreme += abs(mean_ratio(*others) - mean_ratio(*ones)) >= abs(observed) - 1e-12
    return extreme / len(choices)


@pytest.mark.parametrize("clips", [2, 3, 7])
def test_few_clips_by_all_exchanges(clips):
    rng = np.random.default_rng(clips)
    first, second = counts(rng, clips), counts(rng, clips)
    assert paired_p_value(first, second) == pytest.approx(by_definition(first, second))


def test_the_smallest_p_value_of_few_clips():
    union = np.full((5, 1), 10)
    assert paired_p_value((union - 5, union), (union, union)) == 2 / 2**5


def test_equal_runs_do_not_differ():
    one = counts(np.random.default_rng(0), 30)
    assert paired_p_value(one, one) == 1.0


def test_a_clear_difference_over_many_clips():
    union = np.full((40, 1), 100)
    p = paired_p_value((union - 20, union), (union - 10, union), exchanges=999)
    assert p == 1 / 1000


def test_many_clips_do_not_need_all_exchanges():
    rng = np.random.default_rng(3)
    first = counts(rng, 13)
    second = counts(rng, 13)
    assert paired_p_value(first, second, exchanges=4000) == pytest.approx(by_definition(first, second), abs=0.03)


def test_alike_runs_are_called_different_no_more_often_than_stated():
    rng = np.random.default_rng(0)
    found = [paired_p_value(counts(rng, 8), counts(rng, 8)) for _ in range(300)]
    assert np.mean(np.array(found) <= 0.1) < 0.15


def test_one_clip_says_nothing():
    assert np.isnan(paired_p_value(counts(np.random.default_rng(0), 1), counts(np.random.default_rng(1), 1)))
