"""Which frames of a video are kept and where its clips begin, from the time of every frame.

A hole is where a video shows no frame for longer than one and a half times its usual interval; phones and screen
recorders leave such holes. Frames on either side of a hole are not neighbours, so a new clip begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HOLE = 1.5  # times the usual interval
SAME_RATE = 0.002
STEADY = 0.1  # of the usual interval: how far times may depart from it; Matroska rounds them to whole milliseconds


class Kept(NamedTuple):
    """A frame that is kept: its place in the video, from 0, and its number at the kept rate."""

    index: int
    number: int


class Gap(NamedTuple):
    """A hole: place of the clip behind it, number of the last frame before it, and how many frames would fill it."""

    clip: int
    after: int
    missing: int


@dataclass(frozen=True)
class Cut:
    """The clips of one video.

    Attributes:
        clips: at least two frames each, at one step.
        offset: how far a kept frame is from its regular time at most, seconds; 0 where all frames are kept.
        holes: number of holes where a clip had to end.
        left: kept frames that are in no clip, since none is next to them.
        full: whether the limit was reached.
        gaps: the holes between clips, except those among frames that are skipped anyway.
    """

    clips: tuple[tuple[Kept, ...], ...]
    offset: float
    holes: int
    left: int
    full: bool
    gaps: tuple[Gap, ...] = ()


def interval(times: np.ndarray) -> float:
    """The usual time between frames, seconds: the mean without the holes.

    Args:
        times: float64 (N,), N >= 2, seconds, rising.
    """
    steps = np.diff(times)
    return float(steps[steps <= HOLE * np.median(steps)].mean())


def is_steady(times: np.ndarray) -> bool:
    """Whether all frames are one interval apart, within 10 % or the 1 ms that containers round to; see `interval`."""
    usual = interval(times)
    return bool(np.abs(np.diff(times) - usual).max() <= max(STEADY * usual, 0.0011))


def keep(times: np.ndarray, rate: float | None) -> tuple[list[list[Kept]], float]:
    """Frames that are kept, in runs without a hole.

    Args:
        times: as for :func:`interval`.
        rate: frames a second: that nearest to each regular time is kept, which begin at the first frame; where none is
            within half a step, that is a hole. None keeps every frame, with its place in the video as its number.

    Returns:
        Runs, and the largest distance from a regular time, seconds.
    """
    if rate is None:
        index = number = np.arange(len(times))
        breaks = np.diff(times) > HOLE * interval(times)
        offset = 0.0
    else:
        usual = interval(times)
        # 29.97 frames a second are often called 30; taken literally, that would be a hole every half minute.
        rate = 1 / usual if abs(rate * usual - 1) <= SAME_RATE else rate
        regular = times[0] + np.arange(int((times[-1] - times[0] + usual / 2) * rate) + 1) / rate
        index = nearest(times, regular)
        distance = np.abs(times[index] - regular)
        # A frame that is nearest to two times counts for the first; the second is a hole.
        good = (distance <= 0.5 / rate) & (np.diff(index, prepend=-1) > 0)
        index, number = index[good], np.flatnonzero(good)
        breaks = np.diff(number) > 1
        offset = float(distance[good].max())
    parts = np.split(np.column_stack([index, number]), np.flatnonzero(breaks) + 1)
    return [[Kept(*row) for row in part.tolist()] for part in parts], offset


def nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places in ``times`` (rising) nearest to each of ``wanted``, the earlier one where two are equally near."""
    after = np.searchsorted(times, wanted).clip(1, len(times) - 1)
    # Times are sums of rounded numbers: a difference of a nanosecond does not count.
    later = wanted - times[after - 1] > times[after] - wanted + 1e-9
    return after - 1 + later


def cut(times: np.ndarray, rate: float | None, length: int, skip: float, limit: int | None) -> Cut:
    """The clips of a video.

    Args:
        times: as for :func:`interval`.
        rate: as for :func:`keep`.
        length: frames in a clip; before a hole or the end it may be shorter, down to two.
        skip: seconds left out after each clip.
        limit: most clips; None for all.
    """
    runs, offset = keep(times, rate)
    gap = round(skip * rate if rate else skip / interval(times))
    clips: list[tuple[Kept, ...]] = []
    gaps: list[Gap] = []
    left, earliest = 0, 0
    for before, run in zip([None, *runs], runs, strict=False):
        hole = clips and before and earliest <= before[-1].number + 1
        place = 0
        while place < len(run):
            place += max(0, earliest - run[place].number)
            clip = tuple(run[place : place + length])
            place += len(clip) or length
            if len(clip) < 2:
                left += len(clip)
                continue
            if limit is not None and len(clips) == limit:
                return Cut(tuple(clips), offset, _holes(runs, clips), left, True, tuple(gaps))
            if hole and clip[0] == run[0]:
                gaps.append(Gap(len(clips), before[-1].number, _lost(times, rate, before[-1], run[0])))
            clips.append(clip)
            earliest = clip[-1].number + 1 + gap
    return Cut(tuple(clips), offset, _holes(runs, clips), left, False, tuple(gaps))


def _lost(times: np.ndarray, rate: float | None, before: Kept, behind: Kept) -> int:
    """How many frames would fill the hole between two; without a rate the times say that, not the numbers."""
    if rate is not None:
        return behind.number - before.number - 1
    return max(1, round(float(times[behind.index] - times[before.index]) / interval(times)) - 1)


def _holes(runs: Sequence[Sequence[Kept]], clips: Sequence[Sequence[Kept]]) -> int:
    """Holes up to the last clip."""
    last = clips[-1][-1].number if clips else -1
    return sum(run[0].number <= last for run in runs[1:])
