"""The pairs of frames that agree least, as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE, LabelSet
from etc.evaluation.consistency import Clip, PairResult
from etc.evaluation.flips import change_map
from etc.evaluation.protocols import protocol_named
from etc.evaluation.tc import pixel_agreement, temporal_consistency
from etc.measure.id_maps import Frames
from etc.measure.judging import ClipTask, JudgedClip
from etc.reporting.flicker import FLIPPED, dimmed

WORST = 5
# Pictures are brought to this width at most, in pixels.
WIDEST = 480
_PLAIN = 90  # grey level without a frame


class View(NamedTuple):
    """A pair of one folder of predictions.

    Attributes:
        agreement, tc: of the pair, 0 to 1.
        now, seen: PNG files of the prediction of frame t, and of that of t+1 as frame t sees it, in class colours.
        changed: PNG file of the frame in dark grey; red where the two differ, black where they are not compared.
    """

    agreement: float
    tc: float
    now: bytes
    seen: bytes
    changed: bytes


class Example(NamedTuple):
    """A pair of frames.

    Attributes:
        clip: its name.
        source, target: numbers of frames t and t+1.
        size: width and height of the predictions, pixels.
        frame: JPEG file of frame t; None when there is none.
        problem: why the frame could not be read; usually empty.
        views: of the folder of predictions, and of the other one if it has the pair.
    """

    clip: str
    source: int
    target: int
    size: tuple[int, int]
    frame: bytes | None
    problem: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class ExampleTask:
    """What a worker process needs to draw a pair.

    Attributes:
        clips: of each folder of predictions that has the pair.
        results: of the pair, for each of these folders.
        frames: see ``etc.measure.judging.ClipTask``.
        protocol: see ``etc.evaluation.protocols``.
        label_set: colours of the classes.
        skip_bad: go on without a frame that cannot be read.
    """

    clips: tuple[Clip, ...]
    results: tuple[PairResult, ...]
    frames: Frames | None
    protocol: str
    label_set: LabelSet
    skip_bad: bool


def worst_pairs(
    tasks: Sequence[ClipTask], judged: Sequence[JudgedClip], label_set: LabelSet, number: int = WORST
) -> list[ExampleTask]:
    """The pairs of the first folder of predictions with the lowest pixel agreement, lowest first.

    Pixel agreement and not TC: in a single pair, TC is often that of a class of a few pixels.

    Args:
        tasks: the clips.
        judged: what was found in each.
        label_set: colours of the classes.
        number: of pairs.
    """
    found = [
        (pixel_agreement(pair.counts[task.protocol]), place, pair)
        for place, (task, clip) in enumerate(zip(tasks, judged, strict=True))
        for pair in clip.results[0]
        if not pair.skipped and pair.counts[task.protocol].counted
    ]
    found.sort(key=lambda one: one[:2])
    return [_task(tasks[place], judged[place], pair, label_set) for _, place, pair in found[:number]]


def draw(task: ExampleTask) -> Example:
    """Read a pair again and draw it.

    Raises:
        UserError: an input has changed since it was judged, or the frame cannot be read and is not skipped.
    """
    pair = task.results[0]
    frame, problem = None, ""
    if task.frames:
        try:
            frame = task.frames(pair.source)
        except UserError as error:
            # Flow that is read needs no frames: nothing has looked at this one before.
            if not task.skip_bad:
                raise
            problem = str(error)
    views, shape = [], (0, 0)
    for clip, result in zip(task.clips, task.results, strict=True):
        now, after = clip.prediction(pair.source), clip.prediction(pair.target)
        seen = protocol_named(task.protocol).warp(after, *clip.flow.read(pair.source, pair.target))
        counts, shape = result.counts[task.protocol], now.shape
        pictures = (task.label_set.colour(now), task.label_set.colour(seen), _changed(frame, change_map(now, seen)))
        scores = pixel_agreement(counts), temporal_consistency(counts, task.protocol)
        views.append(View(*scores, *(_encoded(".png", one) for one in pictures)))
    picture = None if frame is None else _encoded(".jpg", frame)
    return Example(pair.clip, pair.source, pair.target, (shape[1], shape[0]), picture, problem, tuple(views))


def _task(task: ClipTask, judged: JudgedClip, pair: PairResult, label_set: LabelSet) -> ExampleTask:
    have = [
        (clip, result)
        for clip, results in zip(task.clips, judged.results, strict=True)
        for result in results
        if (result.source, result.target) == (pair.source, pair.target) and not result.skipped
    ]
    clips, results = zip(*have, strict=True)
    return ExampleTask(clips, results, task.frames, task.protocol, label_set, task.skip_bad)


def _changed(frame: np.ndarray | None, changes: np.ndarray) -> np.ndarray:
    """Red where ``changes`` is 1 and black where it is 255, over the frame, uint8 (H, W, 3) RGB."""
    grey = np.full(changes.shape, _PLAIN, np.uint8)
    if frame is not None:
        grey = cv2.cvtColor(cv2.resize(frame, changes.shape[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    picture = dimmed(grey)
    picture[changes == 1] = FLIPPED
    picture[changes == IGNORE] = 0
    return picture


def _encoded(form: str, picture: np.ndarray) -> bytes:
    """The file of a picture, uint8 (H, W, 3) RGB, at most ``WIDEST`` pixels wide."""
    height, width = picture.shape[:2]
    if width > WIDEST:
        size = (WIDEST, max(1, round(height * WIDEST / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(form, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
