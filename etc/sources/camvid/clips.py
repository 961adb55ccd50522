"""CamVid's frames as clips: frames of one recording and split that follow each other at one step."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

from etc.sources.camvid.neighbours import cut_name, windows
from etc.sources.camvid.stills import Still, by_sequence, lacking, runs
from etc.sources.source import Frame, Gap


def to_frames(
    stills: Sequence[Still],
    neighbours: int = 0,
    cut: Mapping[str, AbstractSet[int]] | None = None,
    clip_frames: int | None = None,
) -> tuple[list[Frame], list[Gap]]:
    """Group stills and the cut frames beside them into clips, named by their first frame, and find the gaps.

    Args:
        stills: to use.
        neighbours: frames that were to be cut on each side of a still.
        cut: numbers of those that were cut, for each sequence.
        clip_frames: longest clip of dev and test; None leaves all as long as they are.
    """
    frames: list[Frame] = []
    gaps: list[Gap] = []
    for sequence, group in by_sequence(stills).items():
        named = {still.number: still for still in group}
        there = (cut or {}).get(sequence, frozenset())
        for number, still in windows(group, neighbours).items():
            if number in there:
                frame = still.at(number)
                named[number] = still.at(number, image=cut_name(frame))
        for split in ("train", "dev", "test"):
            pieces = [*runs(sorted(number for number, still in named.items() if still.split == split))]
            gaps += _gaps(pieces, named, neighbours)
            for run in pieces:
                for part in [run] if split == "train" or clip_frames is None else chop(run, clip_frames):
                    clip = named[part[0]].name
                    frames += [_frame(clip, named[number]) for number in part]
    return frames, gaps


def _gaps(clips: Sequence[list[int]], named: Mapping[int, Still], neighbours: int) -> Iterator[Gap]:
    """Where frames are missing between clips of one sequence and split."""
    steps = Counter(two - one for clip in clips for one, two in pairwise(clip))
    if not steps:
        return
    ((step, _),) = steps.most_common(1)
    for before, behind in pairwise(clips):
        first = named[behind[0]]
        if missing := lacking(first.sequence, before[-1], first.number, step, neighbours):
            yield Gap(first.name, first.number, before[-1], missing)


def chop(run: Sequence[int], length: int) -> list[Sequence[int]]:
    """Cut a clip into clips of ``length``; one frame left over joins the last, since alone it makes no pair."""
    starts = list(range(0, len(run), length))
    if len(run) > 1 and len(run) - starts[-1] == 1:
        starts.pop()
    return [run[start:end] for start, end in zip(starts, [*starts[1:], len(run)], strict=True)]


def _frame(clip: str, still: Still) -> Frame:
    return Frame(clip, still.number, still.split, still.annotated, still.image, still.label)
