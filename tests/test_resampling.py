"""The bootstrap against a loop over resamples, the permutation test against all exchanges."""

from itertools import product

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.evaluation.iou import mean_ratio
from etc.evaluation.protocols import PROTOCOLS
from etc.resampling import interval, paired_difference, paired_p_value


def clips(seed, number=12, classes=3, quality=0.7):
    rng = np.random.default_rng(seed)
    union = rng.integers(50, 500, (number, classes))
    return rng.binomial(union, quality), union


def test_the_interval_is_that_of_a_loop_over_drawn_clips():
    numerator, denominator = clips(0)
    counts = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), size=300)
    scores = []
    for row in counts:
        drawn = np.repeat(np.arange(12), row)
        scores.append(np.mean(numerator[drawn].sum(axis=0) / denominator[drawn].sum(axis=0)))
    result = interval(numerator, denominator, resamples=300, seed=7)
    assert result.estimate == pytest.approx(np.mean(numerator.sum(axis=0) / denominator.sum(axis=0)))
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(scores, [0.025, 0.975])))


def test_the_width_is_that_of_a_mean():
    """With equal denominators the score is the mean over clips: half the width is 1.96 standard errors."""
    values = np.random.default_rng(0).normal(500, 60, (200, 1))
    result = interval(values, np.full((200, 1), 1000), resamples=4000)
    error = (values / 1000).std() / np.sqrt(200)
    assert (result.high - result.low) / 2 == pytest.approx(1.96 * error, rel=0.08)
    narrow = interval(values, np.full((200, 1), 1000), resamples=4000, level=0.68)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(0.994 * error, rel=0.08)


def test_the_truth_lies_inside_as_often_as_stated():
    """200 experiments of 40 clips around a known score; 90 % intervals, percentile bootstrap."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        quality = rng.beta(14, 6, 40)
        numerator = rng.binomial(1000, quality)[:, None]
        result = interval(numerator, np.full((40, 1), 1000), resamples=400, level=0.9)
        hits += result.low <= 0.7 <= result.high
    assert 0.82 < hits / 200 < 0.96


def test_a_paired_difference_sees_what_two_intervals_do_not():
    """Clips differ much, the runs differ little but always the same way."""
    rng = np.random.default_rng(2)
    union = np.full((30, 2), 1000)
    first = rng.integers(200, 900, (30, 2))
    second = first + rng.integers(5, 15, (30, 2))
    alone = [interval(run, union) for run in (first, second)]
    assert alone[0].high > alone[1].low
    difference = paired_difference((first, union), (second, union))
    assert 0.005 <= difference.low < difference.estimate < difference.high <= 0.015
    assert difference.estimate == pytest.approx(alone[1].estimate - alone[0].estimate)
    opposite = paired_difference((second, union), (first, union))
    assert opposite == pytest.approx((-difference.estimate, -difference.high, -difference.low))


def test_a_run_does_not_differ_from_itself():
    assert paired_difference(clips(3), clips(3)) == (0, 0, 0)


def test_the_seed_alone_decides():
    numerator, denominator = clips(4)
    same = [interval(numerator, denominator, seed=5) for _ in range(2)]
    assert same[0] == same[1]
    assert interval(numerator, denominator, seed=6) != same[0]


def test_blocks_do_not_change_the_result(monkeypatch):
    numerator, denominator = clips(5)
    whole = interval(numerator, denominator, resamples=500)
    monkeypatch.setattr("etc.resampling._BLOCK", 7)
    assert interval(numerator, denominator, resamples=500) == whole


def test_a_class_of_few_clips_is_left_out_where_it_is_not_drawn():
    """Class 1 lives in one clip only, at 0: drawn, the score is 0.5; not drawn, it is 1."""
    numerator = np.array([[10, 0], [10, 0], [10, 0]])
    denominator = np.array([[10, 5], [10, 0], [10, 0]])
    result = interval(numerator, denominator, resamples=500)
    assert result == (0.5, 0.5, 1.0)
    etc = interval(numerator, denominator, resamples=500, mean=PROTOCOLS["etc_released"].mean)
    assert etc == pytest.approx((0.5, 0.5, 0.5))


def test_one_clip_has_no_spread():
    numerator, denominator = clips(6, number=1)
    score = float(mean_ratio(numerator[0], denominator[0]))
    assert interval(numerator, denominator) == pytest.approx((score, score, score))


def test_wrong_input_is_refused():
    numerator, denominator = clips(7)
    for bad in ((numerator[0], denominator[0]), (numerator, denominator[:5]), (numerator[:0], denominator[:0])):
        with pytest.raises(UserError, match="at least one clip"):
            interval(*bad)
    with pytest.raises(UserError, match="level"):
        interval(numerator, denominator, level=95)
    with pytest.raises(UserError, match="differ in clips"):
        paired_difference((numerator, denominator), clips(7, number=5))


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
