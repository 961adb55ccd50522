"""Flips against the definition written out pixel by pixel, and in cases counted by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from etc.evaluation.flips import FlipCounts, change_map, flip_counts
from etc.evaluation.protocols import seen_from

SHAPE = (4, 5)
LABELS = hnp.arrays(np.uint8, (3, *SHAPE), elements=st.sampled_from([0, 1, 2, 255]))
FLOWS = hnp.arrays(np.float32, (2, *SHAPE, 2), elements=st.sampled_from([-1.2, -0.4, 0.0, 0.6, 1.0, 9.0]))
MASKS = hnp.arrays(bool, (2, *SHAPE))


def flips(labels, flows, visible=(None, None)):
    pairs = zip(labels, labels[1:], flows, visible, strict=False)
    changes = [change_map(now, seen_from(after, flow, mask)) for now, after, flow, mask in pairs]
    return flip_counts(*changes, flows[0], visible[0])


def by_definition(labels, flows, visible):
    flipped = counted = 0
    height, width = SHAPE
    for y in range(height):
        for x in range(width):
            at, ids, seen = (x, y), [labels[0][y, x]], True
            for step in (0, 1):
                seen = seen and visible[step][at[1], at[0]]
                dx, dy = (int(np.rint(value)) for value in flows[step][at[1], at[0]])
                at = (at[0] + dx, at[1] + dy)
                if not (seen and 0 <= at[0] < width and 0 <= at[1] < height):
                    seen = False
                    break
                ids.append(labels[step + 1][at[1], at[0]])
            if seen and 255 not in ids:
                counted += 1
                flipped += ids[0] != ids[1] and ids[1] != ids[2]
    return FlipCounts(flipped, counted)


@given(labels=LABELS, flows=FLOWS, visible=MASKS)
def test_counts_follow_the_definition(labels, flows, visible):
    assert flips(labels, flows, visible) == by_definition(labels, flows, visible)
    everything = np.ones((2, *SHAPE), bool)
    assert flips(labels, flows) == by_definition(labels, flows, everything)


def test_a_flicker_counts_and_a_passing_boundary_does_not():
    still = np.zeros((2, 10, 10, 2), np.float32)
    a = np.zeros((10, 10), np.uint8)
    flicker, passed = a.copy(), a.copy()
    flicker[:2] = 1
    passed[:3] = 1
    assert flips((a, flicker, a), still) == FlipCounts(20, 100)
    assert flips((a, passed, passed), still) == FlipCounts(0, 100)


def test_a_moving_pattern_does_not_flip_along_its_flow():
    scene = np.random.default_rng(0).integers(0, 4, (12, 30)).astype(np.uint8)
    frames = tuple(np.ascontiguousarray(scene[:, 6 - 3 * t : 26 - 3 * t]) for t in range(3))
    flow = np.zeros((12, 20, 2), np.float32)
    flow[..., 0] = 3
    assert flips(frames, (flow, flow)) == FlipCounts(0, 12 * 14)
