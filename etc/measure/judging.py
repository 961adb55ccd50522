"""What a worker process does with one clip: every pair of every folder of predictions, and the truth."""

import contextlib
from dataclasses import dataclass

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.consistency import Clip, ClipJudge, PairResult
from etc.measure.doubts import warp_correlation
from etc.measure.id_maps import Frames, IdPictures
from etc.measure.truth import TruthCounts, truth_counts
from etc.sources.folder.layouts import detected_step

# Pairs of a clip, at least and as a share, whose frames show whether the flow follows them, and the quantile that
# speaks for the clip: where the camera stands still flow always follows, and a cut is in one pair only.
_CHECKED_PAIRS, _CHECKED_SHARE = 5, 1 / 6
_SPEAKING = 0.25


@dataclass(frozen=True)
class ClipTask:
    """One clip: everything a worker process needs.

    Attributes:
        clips: the clip of each folder of predictions.
        frames: None when none are given, so that nothing shows whether the flow follows them.
        classes: number of classes.
        protocol: see ``etc.evaluation.protocols``.
        skip_bad: bad input is part of the result instead of an error.
        truth: its labels.
        labelled: numbers of the frames that have a label and a prediction.
    """

    clips: tuple[Clip, ...]
    frames: Frames | None
    classes: int
    protocol: str
    skip_bad: bool
    truth: IdPictures | None
    labelled: tuple[int, ...]


@dataclass(frozen=True)
class JudgedClip:
    """What was found in one clip.

    Attributes:
        clip: its name.
        results: of every pair, for each folder of predictions.
        truth: comparison of the first folder with the labels; None without labels or with a problem.
        truth_problem: why it could not be compared; usually empty.
        warp_correlation: how well the flow follows the frames, see ``etc.measure.doubts``; None when it is not known.
    """

    clip: str
    results: tuple[list[PairResult], ...]
    truth: TruthCounts | None
    truth_problem: str
    warp_correlation: float | None


def judge_clip(task: ClipTask) -> JudgedClip:
    """Judge one clip of every folder of predictions; the flow of a pair is computed once for all of them.

    Raises:
        UserError: bad input, unless it is skipped.
    """
    judges = [
        ClipJudge(clip, task.classes, (task.protocol,), flips=True, skip_bad=task.skip_bad) for clip in task.clips
    ]
    results: tuple[list[PairResult], ...] = tuple([] for _ in judges)
    wanted = [set(clip.pairs) for clip in task.clips]
    ordered = sorted(set().union(*wanted))
    number = max(_CHECKED_PAIRS, int(_CHECKED_SHARE * len(ordered)))
    checked = {ordered[place] for place in np.linspace(0, len(ordered) - 1, number).round().astype(int)}
    correlations = []
    for pair in ordered:
        for judge, pairs, found in zip(judges, wanted, results, strict=True):
            if pair in pairs:
                found.append(judge(*pair))
        if task.frames and pair in checked:
            # Bad input has been reported above; frames may also differ in size from predictions and flow.
            with contextlib.suppress(UserError):
                # The flow of the pair just judged is remembered.
                flow, _ = task.clips[0].flow.read(*pair)
                correlations.append(warp_correlation(task.frames(pair[0]), task.frames(pair[1]), flow))
    truth, problem = None, ""
    if task.truth is not None and task.labelled:
        step = detected_step(task.labelled)
        predictions = task.clips[0].prediction
        try:
            truth = truth_counts(
                predictions,
                task.truth,
                task.labelled,
                step,
                task.classes,
                task.truth.describe,
                ignored=task.truth.ignore,
            )
        except UserError as error:
            problem = f"clip {task.clips[0].name}: {error}"
            if not task.skip_bad:
                raise UserError(problem) from error
    correlations = [one for one in correlations if not np.isnan(one)]
    correlation = float(np.quantile(correlations, _SPEAKING)) if correlations else None
    return JudgedClip(task.clips[0].name, results, truth, problem, correlation)
