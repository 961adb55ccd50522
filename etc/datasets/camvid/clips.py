"""CamVid's frames as clips: frames of one recording and split that follow each other at one step."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from etc.datasets.camvid.names import Still, by_sequence, runs
from etc.datasets.camvid.videos import cut_name, windows
from etc.datasets.source import Frame


def to_frames(
    stills: Sequence[Still],
    neighbours: int = 0,
    cut: Mapping[str, AbstractSet[int]] | None = None,
    clip_frames: int | None = None,
) -> list[Frame]:
    """Put stills and the cut frames beside them into clips, named by their first frame.

    Args:
        stills: that are used.
        neighbours: frames that were to be cut on each side of a still.
        cut: numbers of those that were cut, for each sequence.
        clip_frames: longest clip of dev and test; None leaves all as long as they are.
    """
    frames: list[Frame] = []
    for sequence, group in by_sequence(stills).items():
        named = {still.number: still for still in group}
        there = (cut or {}).get(sequence, frozenset())
        for number, still in windows(group, neighbours).items():
            if number in there:
                frame = still.at(number)
                named[number] = still.at(number, image=cut_name(frame))
        for split in ("train", "dev", "test"):
            for run in runs(sorted(number for number, still in named.items() if still.split == split)):
                for part in [run] if split == "train" or clip_frames is None else chop(run, clip_frames):
                    clip = named[part[0]].name
                    frames += [_frame(clip, named[number]) for number in part]
    return frames


def chop(run: Sequence[int], length: int) -> list[Sequence[int]]:
    """Cut a clip into clips of ``length``; one frame left over joins the last, since alone it makes no pair."""
    starts = list(range(0, len(run), length))
    if len(run) > 1 and len(run) - starts[-1] == 1:
        starts.pop()
    return [run[start:end] for start, end in zip(starts, [*starts[1:], len(run)], strict=True)]


def _frame(clip: str, still: Still) -> Frame:
    return Frame(clip, still.number, still.split, still.annotated, still.image, still.label)
