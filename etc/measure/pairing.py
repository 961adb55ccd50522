"""Which frames of which clips are compared, and why other pairs cannot be.

The step of a clip is the most common difference of its frame numbers, and a pair is two frames one step apart. Times in
place of numbers (above 2^31 - 1, e.g. nanoseconds) jitter: there the step is the median difference, and a pair is two
frames between half a step and one and a half apart. A pair that cannot be compared is never dropped silently: it keeps
its place, with one line that says why.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from etc.core.errors import UserError
from etc.evaluation.samples import Snippet, snippet
from etc.sources.folder.layouts import CLIP_JUMP, LAST_NUMBER, ClipFolder, Files, detected_step, one_step


class SkippedPair(NamedTuple):
    """A pair, or a whole clip (``source`` and ``target`` are None), that cannot be compared."""

    clip: str
    source: int | None
    target: int | None
    reason: str


class Piece(NamedTuple):
    """Predictions that belong together: clip name, name of the video that it is a part of, files."""

    name: str
    video: str
    files: Files


@dataclass(frozen=True)
class ClipPlan:
    """What is compared in one clip.

    Attributes:
        name: clip name in tables.
        video: name by which other folders know the clip.
        folder: the folder of predictions that it is from.
        step: difference of consecutive frame numbers; None for a clip of one frame.
        predictions: frame number to file.
        frames: frame number to file; empty when no frames are given.
        pairs: (source, target) frame numbers that can be compared, judging by the names.
        skipped: the other pairs.
    """

    name: str
    video: str
    folder: ClipFolder
    step: int | None
    predictions: Files
    frames: Files
    pairs: tuple[tuple[int, int], ...]
    skipped: tuple[SkippedPair, ...]


def plan_clips(
    predictions: ClipFolder, frames: ClipFolder | None = None, listed: Iterable[str] | None = None
) -> list[ClipPlan]:
    """Plan every clip of a folder of predictions.

    Args:
        predictions: the folder of predictions.
        frames: the folder of frames; it also shows which predictions are missing. None when no frames are needed.
        listed: only these clips: names of clips, or annotated Cityscapes frames, which stand for their 30 frames.

    Raises:
        UserError: none of the listed clips has a prediction.
    """
    pieces = _pieces(predictions, frames) if listed is None else _listed(predictions, frames, listed)
    return [_plan(predictions, *piece, frames) for piece in pieces]


def unpredicted_clips(predictions: ClipFolder, frames: ClipFolder) -> list[str]:
    """Clips of the frames without any prediction."""
    return [
        name
        for name, video, files in _pieces(frames, None)
        if not (predictions.match(video, frames) or {}).keys() & files.keys()
    ]


def _listed(predictions: ClipFolder, frames: ClipFolder | None, listed: Iterable[str]) -> Iterator[Piece]:
    known = {piece.name: piece for piece in _pieces(predictions, frames)}
    found, missing = [], []
    for name in sorted(listed):
        piece = known.get(name) or _window(predictions, name)
        (found if piece.files else missing).append(piece)
    if not found:
        raise UserError(
            f"{predictions.root}: no prediction for {len(missing)} of the listed clips, first {missing[0].name}"
        )
    return iter(found + missing)


def _window(predictions: ClipFolder, name: str) -> Piece:
    """The files of the clip around an annotated Cityscapes frame; without files when the name is no such frame."""
    window = snippet(name) if predictions.cityscapes else None
    if window is None:
        return Piece(name, name, {})
    video = predictions.clips.get(window.video, {})
    files = {number: path for number, path in video.items() if window.first <= number <= window.last}
    return Piece(name, window.video, files)


def _pieces(predictions: ClipFolder, frames: ClipFolder | None) -> Iterator[Piece]:
    """Every clip; a long Cityscapes recording is cut where its numbering jumps."""
    for video, files in predictions.clips.items():
        known = frames.match(video, predictions) if frames else None
        runs = _runs(files, known) if predictions.cityscapes else [list(files)]
        for run in runs:
            name = video or "clip"
            name = name if len(runs) == 1 else f"{video}_{run[0]:06d}-{run[-1]:06d}"
            yield Piece(name, video, {number: files[number] for number in run})


def _runs(files: Files, frames: Files | None) -> list[list[int]]:
    numbers = sorted(files)
    reach = CLIP_JUMP * (detected_step(numbers) or 1)
    runs = [numbers[:1]]
    for before, number in pairwise(numbers):
        # Frames in between belong to a clip whose predictions are missing: that is a gap, however long.
        bridged = frames is not None and any(between in frames for between in range(before + 1, number))
        if number - before > reach and not bridged:
            runs.append([])
        runs[-1].append(number)
    return runs


def _plan(predictions: ClipFolder, name: str, video: str, files: Files, folder: ClipFolder | None) -> ClipPlan:
    def nothing(step: int | None, files: Files, frames: Files, reason: str) -> ClipPlan:
        return ClipPlan(name, video, predictions, step, files, frames, (), (SkippedPair(name, None, None, reason),))

    if not files:
        reason = f"{predictions.root}: no prediction of the listed clip {name}"
        return nothing(None, {}, {}, reason)
    numbers = sorted(files)
    step = detected_step(numbers)
    frames: Mapping[int, Path] = {}
    if folder is not None:
        found = folder.match(video, predictions)
        if found is None:
            reason = f"{folder.root}: no frames of clip {name} (it has {folder.known()}); give both one name"
            return nothing(step, files, {}, reason)
        frames = found
    window = snippet(name) if name != video else None
    if step is None and window is None and not _neighbours(numbers[0], frames):
        reason = f"{files[numbers[0]]}: clip {name} has one frame only, so no pair"
        return nothing(None, files, dict(frames), reason)
    pairs, skipped = [], []
    for source, target in pairwise(_expected(numbers, step or 1, frames, window)):
        reason = _obstacle(name, source, target, step or 1, files, frames, folder)
        if reason:
            skipped.append(SkippedPair(name, source, target, reason))
        else:
            pairs.append((source, target))
    return ClipPlan(name, video, predictions, step, files, dict(frames), tuple(pairs), tuple(skipped))


def _neighbours(number: int, frames: Mapping[int, Path]) -> bool:
    return number - 1 in frames or number + 1 in frames


def _expected(numbers: list[int], step: int, frames: Mapping[int, Path], window: Snippet | None) -> list[int]:
    """Numbers that a complete folder of predictions has: those it has, and those on the same steps around them."""
    first, last = numbers[0], numbers[-1]
    if window is not None:
        # The list defines what must exist, whether or not the folder of frames has it.
        return sorted({*numbers, *range(first, window.first - 1, -step), *range(first, window.last + 1, step)})
    if last > LAST_NUMBER:
        return sorted({*numbers, *_neighbours_in_time(numbers, step, sorted(frames))})
    while first - step in frames:
        first -= step
    while last + step in frames:
        last += step
    grid = range(first, last + 1, step)
    # A number far from all others makes a grid that nobody can walk along.
    on_grid = (number for number in (grid if len(grid) < len(frames) else frames) if number in frames)
    return sorted({*numbers, *(number for number in on_grid if number in grid)})


def _neighbours_in_time(numbers: list[int], step: int, frames: list[int]) -> Iterator[int]:
    """The frames that follow the predictions, and precede them, one step at a time, up to the next prediction."""
    predicted = set(numbers)
    for number in numbers:
        for direction in (1, -1):
            here = number
            while frames:
                place = bisect_left(frames, here + direction * step)
                near = min(frames[max(0, place - 1) : place + 1], key=lambda one: abs(one - here - direction * step))
                if near in predicted or not one_step(*sorted((here, near)), step):
                    break
                yield near
                here = near


def _obstacle(
    name: str, source: int, target: int, step: int, files: Files, frames: Mapping[int, Path], folder: ClipFolder | None
) -> str:
    folder_name = next(iter(files.values())).parent
    for number in (source, target):
        if number not in files:
            return f"{frames.get(number, folder_name)}: no prediction for frame {number} of clip {name}"
        if folder is not None and number not in frames:
            return f"{files[number]}: {folder.root} has no frame {number} of clip {name}"
    if not one_step(source, target, step):
        return f"{files[target]}: frame {target} of clip {name} follows frame {source}, but the clip's step is {step}"
    return ""
