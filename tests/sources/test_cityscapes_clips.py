import random

import pytest

from etc.sources.cityscapes.clips import cut_clips, holes


@pytest.mark.parametrize(
    ("present", "annotated", "expected"),
    [
        (range(30), [19], [(19, 0, 30, "")]),
        # Two clips back to back, as in the long recordings.
        (range(60), [19, 49], [(19, 0, 30, ""), (49, 30, 60, "")]),
        # Frames beyond every clip: chunks of 30, named as if their 20th were annotated.
        (range(100, 170), [119], [(119, 100, 130, ""), (149, 130, 160, ""), (179, 160, 170, "")]),
        (range(30), [], [(19, 0, 30, "")]),
        # Overlaps: each frame once, each annotated frame in its own clip.
        (range(45), [19, 34], [(19, 0, 30, ""), (34, 30, 45, "")]),
        (range(35), [19, 24], [(19, 0, 24, ""), (24, 24, 35, "")]),
        (range(32), [19, 20, 21], [(19, 0, 20, ""), (20, 20, 21, ""), (21, 21, 32, "")]),
        # Nothing before the recording's first frame.
        (range(12), [2], [(2, 0, 12, "")]),
        # A clip without its annotated frame keeps its name while it is in one piece.
        (range(10), [12], [(12, 0, 10, "")]),
        ([0, 1, 3], [2], [(2, 0, 2, "_from000000"), (2, 3, 4, "_from000003")]),
        ([], [19], []),
    ],
)
def test_cutting(present, annotated, expected):
    clips = cut_clips(present, annotated)
    assert [(one.annotated, one.frames.start, one.frames.stop, one.suffix) for one in clips] == expected


def test_every_frame_is_in_exactly_one_clip():
    draw = random.Random(0)
    for _ in range(300):
        present = draw.sample(range(200), draw.randint(0, 200))
        annotated = draw.sample(range(200), draw.randint(0, 12))
        clips = cut_clips(present, annotated)
        assert sorted(n for clip in clips for n in clip.frames) == sorted(present)
        names = [(clip.annotated, clip.suffix) for clip in clips]
        assert len(set(names)) == len(names)
        homes = {n: clip for clip in clips for n in clip.frames}
        for centre in set(annotated) & set(present):
            assert (homes[centre].annotated, homes[centre].suffix) == (centre, "")
        for clip in clips:
            assert len(clip.frames) <= 30
            assert clip.annotated - 19 <= clip.frames[0] and clip.frames[-1] <= clip.annotated + 10


@pytest.mark.parametrize(
    ("present", "annotated", "expected"),
    [
        (range(30), [19], []),
        ([*range(10), *range(11, 30)], [19], [(9, 11)]),
        ([0, 1, 28, 29], [19], [(1, 28)]),
        # A clip that begins late or ends early lacks nothing between its frames.
        (range(5, 25), [19], []),
        # Between clips there are no frames, not even where they nearly touch.
        ([*range(30), *range(33, 63), *range(300, 330)], [19, 52, 319], []),
        # But there are within them, also at the seam of two clips.
        ([*range(29), *range(30, 60)], [19, 49], [(28, 30)]),
        ([*range(30), *range(31, 60)], [19, 49], [(29, 31)]),
        ([*range(22), *range(26, 34)], [19, 23], [(21, 26)]),
        # Without annotated frames a short jump is a gap, and a long one the next clip.
        ([0, 1, 3, 4, 9, 15], [], [(1, 3), (4, 9)]),
        ([*range(30), 31, 32, 40], [19], [(29, 31)]),
        ([], [19], []),
    ],
)
def test_holes(present, annotated, expected):
    assert holes(present, annotated) == expected


def test_behind_every_hole_a_clip_begins():
    draw = random.Random(1)
    for _ in range(300):
        present = draw.sample(range(200), draw.randint(0, 200))
        annotated = draw.sample(range(200), draw.randint(0, 12))
        starts = {clip.frames.start for clip in cut_clips(present, annotated)}
        ends = {clip.frames.stop - 1 for clip in cut_clips(present, annotated)}
        found = holes(present, annotated)
        assert {two for _, two in found} <= starts and {one for one, _ in found} <= ends
