"""Judging clips in memory: the right pairs, skipped pairs with reasons, one frame loaded once."""

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.evaluation.consistency import Clip, evaluate_pairs
from etc.evaluation.flips import FlipCounts
from etc.evaluation.tc import pair_counts
from etc.evaluation.warp_error import warp_error
from etc.workers import single_thread

SIZE = (6, 8)


class Uniform:
    """Flow of one vector everywhere; remembers what it was asked for."""

    def __init__(self, dx=0.0, size=SIZE, visible=None, bad=()):
        self.flow = np.zeros((*size, 2), np.float32)
        self.flow[..., 0] = dx
        self.visible, self.bad, self.asked = visible, bad, []

    def read(self, source, target):
        self.asked.append((source, target))
        if (source, target) in self.bad:
            raise UserError(f"flow {source} is damaged")
        return self.flow, self.visible

    def describe(self, source, target):
        return "uniform flow"


class Loader:
    def __init__(self, arrays):
        self.arrays, self.asked = arrays, []

    def __call__(self, number):
        self.asked.append(number)
        if self.arrays[number] is None:
            raise UserError(f"{number}.png: damaged")
        return self.arrays[number]


def predictions(frames, seed=0):
    return list(np.random.default_rng(seed).integers(0, 3, (frames, *SIZE)).astype(np.uint8))


def clip(arrays, flow=None, **options):
    pairs = [(number, number + 1) for number in range(len(arrays) - 1)]
    return Clip("walk", pairs, Loader(arrays), flow or Uniform(), **options)


def test_counts_are_those_of_each_pair():
    arrays, flow = predictions(3), Uniform(1.0, visible=np.random.default_rng(1).random(SIZE) < 0.8)
    results = list(evaluate_pairs([clip(arrays, flow)], 3, ("corrected", "occlusion_aware")))
    assert [(one.clip, one.source, one.target) for one in results] == [("walk", 0, 1), ("walk", 1, 2)]
    for one in results:
        for name, counts in one.counts.items():
            expected = pair_counts(arrays[one.source], arrays[one.target], *flow.read(0, 1), 3, name)
            np.testing.assert_array_equal(counts.intersection, expected.intersection)
            np.testing.assert_array_equal(counts.union, expected.union)
        assert one.flips is None and one.warp_error is None and not one.skipped


def test_every_frame_is_loaded_once_and_clips_one_after_another():
    made = []

    def clips():
        for _ in range(3):
            made.append(clip(predictions(5)))
            yield made[-1]

    results = evaluate_pairs(clips(), 3)
    next(results)
    assert len(made) == 1
    list(results)
    assert [one.prediction.asked for one in made] == [[0, 1, 2, 3, 4]] * 3
    assert made[0].flow.asked == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_flips_need_pairs_that_meet():
    a, b = np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8)
    walk = Clip("walk", [(0, 1), (1, 2), (3, 4), (4, 5)], Loader([a, b, a, a, b, b]), Uniform())
    found = [one.flips for one in evaluate_pairs([walk], 2, flips=True)]
    assert found == [None, FlipCounts(48, 48), None, FlipCounts(0, 48)]


def test_flips_and_warp_error_use_the_mask_when_the_protocol_does():
    a, b = np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8)
    visible = np.zeros(SIZE, bool)
    visible[:2] = True
    chances = [np.random.default_rng(number).dirichlet([1] * 3, SIZE).transpose(2, 0, 1) for number in range(3)]
    walk = clip([a, b, a], Uniform(visible=visible), probability=Loader(chances))
    for protocol, counted in (("corrected", 48), ("occlusion_aware", 16)):
        results = list(evaluate_pairs([walk], 2, (protocol,), flips=True))
        assert results[1].flips == FlipCounts(counted, counted)
        mask = None if protocol == "corrected" else visible
        assert results[0].warp_error == warp_error(chances[0], chances[1], walk.flow.flow, mask)


def test_bad_input_stops_or_is_skipped_with_its_reason():
    arrays = predictions(6)
    arrays[1] = None
    flow = Uniform(bad=[(4, 5)])
    with pytest.raises(UserError, match="1.png: damaged"):
        list(evaluate_pairs([clip(arrays, flow)], 3))
    results = list(evaluate_pairs([clip(arrays, flow)], 3, skip_bad=True, flips=True))
    assert [one.skipped for one in results] == ["1.png: damaged"] * 2 + ["", "", "flow 4 is damaged"]
    assert all(not one.counts for one in results if one.skipped)
    # A triple of frames with a skipped pair has no flips.
    assert [one.flips is not None for one in results] == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("arrays", "flow", "message"),
    [
        (
            [np.zeros(SIZE, np.uint8), np.zeros((6, 9), np.uint8)],
            Uniform(),
            "prediction 1: 9x6 pixels, but prediction 0",
        ),
        (
            [np.zeros((5, 5), np.uint8)] * 2,
            Uniform(),
            "uniform flow: 8x6 pixels, but prediction 0 has 5x5",
        ),
        ([np.full(SIZE, 7, np.uint8)] * 2, Uniform(), "clip walk, frames 0 and 1: the prediction holds class id 7"),
        ([np.zeros(SIZE, np.uint8)] * 2, Uniform(np.nan), "clip walk, frames 0 and 1: the flow at row 0"),
    ],
)
def test_what_is_wrong_is_named(arrays, flow, message):
    with pytest.raises(UserError, match=message):
        list(evaluate_pairs([clip(arrays, flow)], 3))


def test_occlusion_aware_needs_visibility():
    with pytest.raises(UserError, match="clip walk, frames 0 and 1: the occlusion_aware protocol needs visibility"):
        list(evaluate_pairs([clip(predictions(2))], 3, ("occlusion_aware",)))


def test_the_number_of_threads_is_given_back():
    import cv2

    before = cv2.getNumThreads()
    with single_thread():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before
