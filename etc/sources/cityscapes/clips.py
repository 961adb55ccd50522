"""Cutting the frames of a Cityscapes recording into clips around the annotated frames."""

from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import NamedTuple

from etc.sources.folder.layouts import CLIP_JUMP

BEFORE, AFTER = 19, 10  # the annotated frame is the 20th of 30
LENGTH = BEFORE + 1 + AFTER


class Clip(NamedTuple):
    """Frames that follow each other without a gap.

    Attributes:
        annotated: number of the annotated frame that the clip is named after; where there is none, the number that it
            would have.
        frames: numbers of the frames, a range.
        suffix: tells the parts of a clip with gaps apart; empty for the part with the annotated frame.
        cut: a neighbouring annotated frame took some of its frames.
    """

    annotated: int
    frames: range
    suffix: str = ""
    cut: bool = False


def cut_clips(present: Collection[int], annotated: Iterable[int]) -> list[Clip]:
    """Clips of one recording, in time order; every existing frame is in exactly one of them.

    A clip is an annotated frame with the 19 before and the 10 after it, by number, as far as they are there. Where two
    overlap, the earlier one keeps the frames up to the later one's annotated frame. A gap splits a clip. What no
    annotated frame reaches becomes clips of up to 30 frames.

    Args:
        present: numbers of the frames that are there, >= 0.
        annotated: numbers of the annotated frames; some of them may not be there.
    """
    present = set(present)
    centres = sorted(set(annotated))
    clips: list[Clip] = []
    free = 0
    for centre, following in zip(centres, (*centres, None)[1:], strict=True):
        first, last = max(centre - BEFORE, free), centre + AFTER
        if following is not None and following <= last:
            last = following - 1
        wanted = {n for n in range(centre - BEFORE, centre + AFTER + 1) if n in present}
        frames = [n for n in range(first, last + 1) if n in present]
        free = last + 1
        clips += _parts(centre, runs(frames), cut=len(frames) < len(wanted))
    taken = {n for clip in clips for n in clip.frames}
    for run in runs(sorted(present - taken)):
        for start in range(run.start, run.stop, LENGTH):
            clips.append(Clip(start + BEFORE, range(start, min(start + LENGTH, run.stop))))
    return sorted(clips, key=lambda clip: clip.frames.start)


def runs(numbers: list[int]) -> list[range]:
    """Stretches of a sorted list of numbers without a gap."""
    found: list[range] = []
    for number in numbers:
        if found and found[-1].stop == number:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found


def holes(present: Collection[int], annotated: Iterable[int]) -> list[tuple[int, int]]:
    """Where frames of one recording are missing: the last number before each hole and the first after it.

    The published recordings have only the frames of clips, so what lies between two clips is no hole. Frames that no
    annotated frame reaches tell no clips: there a jump of the numbers that is too large for a gap is none, as in
    ``etc tc``.

    Args:
        present: numbers of the frames that are there.
        annotated: numbers of the annotated frames whose clips should be there.
    """
    centres = set(annotated)
    found = []
    for one, two in pairwise(sorted(set(present))):
        if two - one == 1:
            continue
        inside = any(centre - BEFORE <= one and two <= centre + AFTER for centre in centres)
        between = one - AFTER in centres and two + BEFORE in centres
        if inside or (two - one <= CLIP_JUMP and not between):
            found.append((one, two))
    return found


def _parts(centre: int, stretches: list[range], cut: bool) -> list[Clip]:
    if len(stretches) == 1:
        return [Clip(centre, stretches[0], cut=cut)]
    return [Clip(centre, part, "" if centre in part else f"_from{part.start:06d}", cut) for part in stretches]
