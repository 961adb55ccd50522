"""Figures from counts: pooling, intervals, per clip, and the comparison of two runs, against NumPy written out."""

import json

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.evaluation.consistency import PairResult
from etc.evaluation.flips import FlipCounts
from etc.evaluation.iou import IouCounts
from etc.evaluation.tc import frequent_classes, pair_counts
from etc.evaluation.warp_error import WarpError
from etc.measure.summary import clip_truth_figures, compare, summarise, truth_figures
from etc.measure.truth import TruthCounts
from etc.measure.vc import WindowCounts


def pair(clip, source, intersection, union, same=5, counted=10, **more):
    counts = IouCounts(np.array(intersection), np.array(union), same, counted)
    return PairResult(clip, source, source + 1, {"corrected": counts}, **more)


def test_one_clip_has_figures_but_no_interval():
    results = [
        pair("a", 0, [10, 0, 0], [20, 5, 0], 9, 10),
        pair("a", 1, [20, 5, 0], [20, 5, 0], 8, 30, flips=FlipCounts(1, 4), warp_error=WarpError(3.0, 2)),
        PairResult("a", 2, 3, skipped="2.png: damaged"),
    ]
    figures = summarise(results, "corrected")
    assert figures["per_class"] == {"0": 0.75, "1": 0.5, "2": None}
    assert figures["tc"] == 0.625 and figures["agreement"] == 17 / 40
    assert figures["flip_rate"] == 0.25 and figures["warp_error"] == 1.5
    assert figures["tc_low"] is figures["tc_high"] is figures["agreement_low"] is None
    assert figures["interval"] == "none: one clip"
    assert figures["pairs"] == 2
    assert figures["skipped"] == [{"clip": "a", "source": 2, "target": 3, "reason": "2.png: damaged"}]
    assert figures["clips"] == {
        "a": {"pairs": 2, "tc": 0.625, "agreement": 17 / 40, "flip_rate": 0.25, "warp_error": 1.5}
    }
    json.dumps(figures, allow_nan=False)


def many(seed, clips=12, lift=0.0):
    rng = np.random.default_rng(seed)
    results = []
    for clip in range(clips):
        for source in range(3):
            union = rng.integers(50, 100, 2)
            share = rng.uniform(0.3, 0.7, 2) + lift
            results.append(pair(f"{clip:02d}", source, (union * share).astype(int), union, *rng.integers(1, 9, 2)))
    return results


def pooled(results, chosen=None):
    total = {}
    for one in results:
        counts = one.counts["corrected"]
        total.setdefault(one.clip, np.zeros((2, 2)))
        total[one.clip] += [counts.intersection, counts.union]
    stacked = np.stack(list(total.values()))
    return stacked if chosen is None else stacked[chosen]


def score(stacked):
    intersection, union = stacked.sum(axis=0)
    return (intersection / union).mean()


def test_intervals_are_bootstraps_over_clips():
    results = many(0)
    figures = summarise(results, "corrected")
    rng = np.random.default_rng(99)
    draws = [score(pooled(results, rng.integers(0, 12, 12))) for _ in range(4000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert figures["tc"] == pytest.approx(score(pooled(results)))
    assert figures["tc_low"] == pytest.approx(low, abs=0.005) and figures["tc_high"] == pytest.approx(high, abs=0.005)
    assert figures["agreement_low"] < figures["agreement"] < figures["agreement_high"]
    assert figures["interval"] == "95% bootstrap over 12 clips"
    assert figures["flip_rate"] is figures["warp_error"] is figures["warp_error_low"] is None


def test_nothing_counted_is_an_error_with_the_first_reason():
    with pytest.raises(UserError, match="no pair of frames could be compared; the first was skipped .* x.png: damaged"):
        summarise([PairResult("a", 0, 1, skipped="x.png: damaged")], "corrected")


def test_two_runs_are_compared_on_common_pairs():
    better, worse = many(0, lift=0.1), many(1)
    dropped = PairResult("00", 0, 1, skipped="gone")
    found = compare(better, [dropped, *worse[1:]], "corrected")
    assert found["pairs"] == 35 and found["left_out"] == 1 and found["clips"] == 12
    scores = [score(pooled(run[1:])) for run in (better, worse)]
    assert found["tc"] == pytest.approx(scores[1])
    assert found["difference"] == pytest.approx(scores[0] - scores[1])
    assert 0 < found["difference_low"] < found["difference"] < found["difference_high"]
    assert found["p_value"] < 0.01
    assert "all 4096 exchanges" in found["method"]


def test_a_run_against_itself():
    found = compare(many(0), many(0), "corrected")
    assert found["difference"] == found["difference_low"] == found["difference_high"] == 0.0
    assert found["p_value"] == 1.0 and found["left_out"] == 0


def test_two_runs_are_also_compared_without_classes_that_one_of_them_hardly_predicts():
    """Class 1: two flickering pixels of 2,000 in the one run, none in the other; class 2: nowhere."""
    one = [pair(clip, 0, [900 + i, 0, 0], [1000, 2, 0]) for i, clip in enumerate("abc")]
    other = [pair(clip, 0, [900, 0, 0], [1000, 0, 0]) for clip in "abc"]
    found = compare(one, other, "corrected")
    assert found["difference"] == pytest.approx(0.901 / 2 - 0.9)
    frequent = found["frequent"]
    assert frequent["rare"] == [1] and frequent["share"] == 0.001
    assert frequent["tc"] == pytest.approx(0.9) and frequent["difference"] == pytest.approx(0.001)
    assert 0 <= frequent["difference_low"] < 0.001 < frequent["difference_high"]
    assert compare(other, other, "corrected")["frequent"]["rare"] == []


def test_a_share_of_exactly_the_threshold_is_frequent():
    """Of 1,000 pixels in each map, class 1 has 20 in both together, class 2 has 18."""
    counts = IouCounts(np.array([980, 5, 0, 0]), np.array([990, 15, 18, 0]), np.array(985), np.array(1000))
    frequent, rare = frequent_classes([counts, counts], 0.01)
    assert frequent.tolist() == [True, True, False, False] and rare.tolist() == [False, False, True, False]


@pytest.mark.parametrize("protocol", ["etc_released", "vspw_released"])
def test_released_protocols_have_no_frequent_classes(protocol):
    """Their warped maps hold classes that nobody predicted."""
    maps = np.zeros((2, 8, 8), np.uint8)
    counts = {protocol: pair_counts(*maps, np.zeros((8, 8, 2), np.float32), None, 3, protocol)}
    run = [PairResult("a", 0, 1, counts)]
    assert compare(run, run, protocol)["frequent"] is None


def test_a_run_without_a_counted_pixel_is_an_error():
    nothing = [pair("a", 0, [0, 0, 0], [0, 0, 0], 0, 0)]
    with pytest.raises(UserError, match="no pixel of one of the two folders could be compared"):
        compare([pair("a", 0, [1, 1, 0], [1, 1, 0], 2, 2)], nothing, "corrected")


def test_one_clip_has_a_difference_but_no_p_value():
    found = compare(many(0, clips=1), many(1, clips=1), "corrected")
    assert found["difference"] != 0
    assert found["difference_low"] is found["difference_high"] is found["p_value"] is None
    assert found["method"] == "none: one clip"


def test_runs_without_a_common_pair():
    with pytest.raises(UserError, match="no pair of frames in common"):
        compare([pair("a", 0, [1], [1])], [pair("a", 1, [1], [1])], "corrected")


def test_figures_of_truth():
    empty, half = WindowCounts(*np.zeros((4, 0), int)), WindowCounts(*map(np.array, ([1], [2], [1, 0], [4, 0])))
    one = TruthCounts(np.array([[3, 1], [0, 4]]), 2, {8: half, 16: empty})
    other = TruthCounts(np.array([[1, 0], [0, 1]]), 1, {8: empty, 16: empty})
    figures = truth_figures({"a": one, "b": other})
    assert figures["miou"] == pytest.approx((4 / 5 + 5 / 6) / 2)
    assert (figures["labelled_frames"], figures["vc8"], figures["vc8_windows"]) == (3, 0.5, 1)
    assert figures["vc8_released"] == 0.25
    assert figures["vc16"] is figures["vc16_released"] is None and figures["vc16_windows"] == 0
    assert clip_truth_figures(other) == {"miou": 1.0, "vc8": None, "vc16": None}
