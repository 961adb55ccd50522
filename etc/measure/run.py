"""Judge a folder of predictions: everything ``etc tc`` does between its options and its output."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etc.core.errors import UserError
from etc.core.progress import track
from etc.dataset.label_sets import CITYSCAPES, LabelSet
from etc.evaluation.consistency import Clip, PairResult
from etc.evaluation.protocols import protocol_named
from etc.evaluation.samples import BUNDLED, clip_list, random_share
from etc.measure.doubts import flow_doubts, label_id_doubts, truth_doubts
from etc.measure.examples import Example, draw, worst_pairs
from etc.measure.flow_choice import FlowChoice, choose_flow
from etc.measure.id_maps import Frames, IdPictures, Probabilities, StoredIds, looks_like_label_ids, of_video
from etc.measure.id_video import id_video
from etc.measure.judging import ClipTask, JudgedClip, judge_clip
from etc.measure.pairing import ClipPlan, SkippedPair, plan_clips, unpredicted_clips
from etc.measure.summary import clip_truth_figures, compare, pooled_confusion, summarise, truth_figures
from etc.measure.truth import TruthCounts
from etc.sources.clip_names import first_names
from etc.sources.folder.layouts import (
    FRAME_SUFFIXES,
    ID_SUFFIXES,
    VSPW_FRAMES,
    VSPW_LABELS,
    ClipFolder,
    is_cityscapes,
    read_folder,
)
from etc.workers import Workers

PROBABILITY_SUFFIXES = (".npy", ".npz")
# Protocols that count every pixel: a hole in the flow would be counted as motion.
_DENSE = ("etc_released", "vspw_released")


@dataclass(frozen=True)
class Request:
    """What to judge, and how; docs/tc.md explains each.

    Attributes:
        predictions: folder of class id PNGs, or a video of ids.
        frames: folder of frames, or their video; needed when the flow is estimated.
        flow: ``dis``, another method, an ONNX file or a folder of flow.
        preset: of DIS.
        flow_options: parameters of another method, each ``name=value``.
        protocol: see ``etc.evaluation.protocols``.
        ignore: ids that are not counted.
        classes: number of classes; None takes the largest id of all pictures plus one.
        labels: folder of truth, or a video of ids.
        label_offset: labels hold the class plus this number; ids below it mean void.
        probabilities: folder of ``.npy`` or ``.npz`` files.
        against: another folder of predictions, or a video of ids.
        sample: ``cityscapes_tc``, a text file of clip names, or a share of the clips; None takes all.
        sample_seed: which clips the share takes.
        skip_bad: leave out pairs with bad input, and say so, instead of stopping.
        workers: processes; the result does not depend on it.
    """

    predictions: Path
    frames: Path | None = None
    flow: str = "dis"
    preset: str = "medium"
    flow_options: tuple[str, ...] = ()
    protocol: str = "corrected"
    ignore: tuple[int, ...] = (255,)
    classes: int | None = None
    labels: Path | None = None
    label_offset: int = 0
    probabilities: Path | None = None
    against: Path | None = None
    sample: str | None = None
    sample_seed: int = 0
    skip_bad: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Outcome:
    """What was found.

    Attributes:
        figures: the JSON object of ``etc tc``.
        results: of every pair of ``predictions``, skipped ones included.
        examples: pictures of the pairs that agree least, if asked for.
    """

    figures: dict[str, Any]
    results: list[PairResult]
    examples: tuple[Example, ...] = ()


def evaluate_folders(request: Request, colours: Callable[[int], LabelSet] | None = None) -> Outcome:
    """Judge a folder of predictions.

    Args:
        request: what to judge, and how.
        colours: number of classes to their colours; None draws no examples.

    Raises:
        UserError: bad input, see docs/tc.md; with ``skip_bad`` only what leaves nothing to compare.
    """
    protocol = protocol_named(request.protocol)
    flow = choose_flow(request.flow, request.preset, request.flow_options)
    if protocol.needs_visibility:
        flow.check_visibility()
    if flow.method and request.frames is None:
        raise UserError(f"--flow {request.flow} is computed from the frames: give --frames, or a folder of flow")
    if request.label_offset and request.labels is None:
        raise UserError(f"--label-offset {request.label_offset} is about labels: give --labels, or leave it out")
    frames = _frames(request.frames)
    bad = _Bad(request.skip_bad)
    if frames:
        bad.lines(frames.strays)
    predictions = _ids(request.predictions)
    runs = [_plans(request, predictions, frames, bad)]
    unpredicted = unpredicted_clips(predictions, frames) if frames and request.sample is None else []
    bad.pairs(
        [
            SkippedPair(
                name, None, None, f"{request.predictions}: no prediction of clip {name}, whose frames are there"
            )
            for name in unpredicted
        ]
    )
    if request.against:
        # What the other folder is missing shows in the number of pairs that the comparison leaves out.
        runs.append(_plans(request, _ids(request.against), frames, _Bad(request.skip_bad)))
    _check_same_pairs(request, runs)
    with Workers(request.workers) as workers:
        classes = request.classes or _inferred_classes(request, runs, workers)
        tasks = _tasks(request, runs, flow, classes, bad)
        judged = list(track(workers.map(judge_clip, tasks), len(tasks), "tc"))
        worst = worst_pairs(tasks, judged, colours(classes)) if colours else []
        examples = tuple(workers.map(draw, worst))
    figures = _figures(request, runs[0], judged, bad)
    about = {
        "predictions": str(request.predictions),
        "flow": flow.label,
        "classes": classes,
        "classes_inferred": request.classes is None,
        "ignore": sorted(request.ignore),
        "sample": request.sample,
        "unpredicted": unpredicted,
    }
    return Outcome(about | figures, [one for clip in judged for one in clip.results[0]], examples)


def _frames(path: Path | None) -> ClipFolder | None:
    if path is None:
        return None
    _check_there(path)
    return of_video(path) if path.is_file() else read_folder(path, FRAME_SUFFIXES, vspw=VSPW_FRAMES)


def _ids(path: Path, prefer: Sequence[str] = (), vspw: str = "") -> ClipFolder:
    _check_there(path)
    return id_video(path) if path.is_file() else read_folder(path, ID_SUFFIXES, prefer, vspw)


def _check_there(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: no such folder or video; give the path of one that is there")


class _Bad:
    """Bad input: the first piece stops the command, or all pieces are kept for the report."""

    def __init__(self, skip: bool):
        self._skip = skip
        self.skipped: list[SkippedPair] = []

    def lines(self, reasons: Sequence[str]) -> None:
        self.pairs([SkippedPair("", None, None, reason) for reason in reasons])

    def pairs(self, skipped: Sequence[SkippedPair]) -> None:
        if skipped and not self._skip:
            more = f" (and {len(skipped) - 1} more like this)" if len(skipped) > 1 else ""
            raise UserError(f"{skipped[0].reason}{more}; fix it, or skip such pairs with --skip-bad")
        self.skipped += skipped


def _plans(request: Request, folder: ClipFolder, frames: ClipFolder | None, bad: _Bad) -> dict[str, ClipPlan]:
    bad.lines(folder.strays)
    share = _share(request.sample)
    listed = None if request.sample is None or share is not None else clip_list(request.sample)
    plans = {plan.name: plan for plan in plan_clips(folder, frames, listed)}
    if share is not None:
        plans = {name: plans[name] for name in random_share(plans, share, request.sample_seed)}
    bad.pairs([pair for plan in plans.values() for pair in plan.skipped])
    return plans


def _share(sample: str | None) -> float | None:
    if sample is None or sample in BUNDLED:
        return None
    try:
        share = float(sample)
    except ValueError:
        return None
    if not 0 < share <= 1:
        raise UserError(f"--sample {sample}: a share must be above 0 and at most 1")
    return share


def _check_same_pairs(request: Request, runs: Sequence[dict[str, ClipPlan]]) -> None:
    if len(runs) < 2:
        return
    if not runs[0].keys() & runs[1].keys():
        raise UserError(
            f"{request.against}: has the clips {first_names(runs[1])}, {request.predictions} {first_names(runs[0])}: "
            "name the clips alike"
        )
    if request.skip_bad:
        return
    first, second = ({(plan.name, *pair) for plan in run.values() for pair in plan.pairs} for run in runs)
    if first != second:
        clip, source, target = sorted(first ^ second)[0]
        incomplete = request.against if (clip, source, target) in first else request.predictions
        raise UserError(
            f"{incomplete}: the pair of frames {source} and {target} of clip {clip} is missing here but is in the "
            "other folder; add it, or compare the common pairs with --skip-bad"
        )


def _inferred_classes(request: Request, runs: Sequence[dict[str, ClipPlan]], workers: Workers) -> int:
    tasks = [
        (StoredIds(plan.predictions), request.ignore, request.skip_bad)
        for run in runs
        for plan in run.values()
        if plan.predictions
    ]
    found = list(track(workers.map(_largest_id, tasks), len(tasks), "classes"))
    largest, path = max(found, default=(-1, None))
    if largest < 0:
        raise UserError(f"{request.predictions}: no pixel has a class: every id is ignored")
    if is_cityscapes(path) and looks_like_label_ids(largest):
        raise UserError(
            f"{path}: id {largest} looks like a Cityscapes label id: convert the predictions to train ids, or say "
            f"--classes {largest + 1} to take the ids as they are"
        )
    return largest + 1


def _largest_id(task: tuple[StoredIds, Sequence[int], bool]) -> tuple[int, Path]:
    ids, ignore, skip_bad = task
    largest = (-1, next(iter(ids.files.values())))
    for frame, path in ids.files.items():
        try:
            largest = max(largest, (ids.largest(frame, ignore), path))
        except UserError:
            # Its pairs are skipped, with the reason, when they are judged.
            if not skip_bad:
                raise
    return largest


def _tasks(
    request: Request, runs: Sequence[dict[str, ClipPlan]], flow: FlowChoice, classes: int, bad: _Bad
) -> list[ClipTask]:
    visibility = protocol_named(request.protocol).needs_visibility
    dense = request.protocol in _DENSE
    labels = probabilities = None
    if request.labels:
        labels = _ids(request.labels, ("labelTrainIds", "labelIds"), VSPW_LABELS)
        bad.lines(labels.strays)
    if request.probabilities:
        probabilities = read_folder(request.probabilities, PROBABILITY_SUFFIXES)
        bad.lines(probabilities.strays)
    tasks = []
    for name, plan in runs[0].items():
        plans = [run[name] for run in runs if name in run]
        pairs = [one.pairs for one in plans]
        if not any(pairs):
            continue
        try:
            clip_flow = flow.of_clip(plan, visibility, dense)
        except UserError as error:
            bad.pairs([SkippedPair(name, None, None, str(error))])
            continue
        chances = None
        if probabilities:
            chances = Probabilities(probabilities.match(plan.video, plan.folder) or {}, request.classes)
        pictures = [IdPictures(one.predictions, classes, request.ignore) for one in plans]
        clips = tuple(
            # The probabilities are those of the first folder.
            Clip(name, one.pairs, ids, clip_flow, None if number else chances, ids.describe)
            for number, (one, ids) in enumerate(zip(plans, pictures, strict=True))
        )
        truth = (labels.match(plan.video, plan.folder) if labels else None) or {}
        tasks.append(
            ClipTask(
                clips,
                Frames(plan.frames) if plan.frames else None,
                classes,
                request.protocol,
                request.skip_bad,
                IdPictures(truth, classes, request.ignore, convert=True, offset=request.label_offset),
                tuple(sorted(truth.keys() & plan.predictions.keys())),
            )
        )
    if labels and not any(task.labelled for task in tasks):
        raise UserError(
            f"{labels.root}: has no label for any predicted frame; labels have the clips {labels.known()}, predictions "
            f"{first_names(one.video for one in runs[0].values())}: name clips and frames alike"
        )
    return tasks


def _figures(request: Request, plans: dict[str, ClipPlan], judged: Sequence[JudgedClip], bad: _Bad) -> dict[str, Any]:
    """What was measured, with everything that was skipped: by the names, while judging, and truth that does not fit."""
    results = [one for clip in judged for one in clip.results[0]]
    figures = summarise(results, request.protocol)
    truths = {clip.clip: clip.truth for clip in judged if clip.truth is not None}
    correlations = {clip.clip: clip.warp_correlation for clip in judged}
    for name, clip in figures["clips"].items():
        clip |= {"frames": len(plans[name].predictions), "step": plans[name].step}
        if name in truths:
            clip |= clip_truth_figures(truths[name])
        if correlations.get(name) is not None:
            clip["warp_correlation"] = correlations[name]
    if truths:
        figures |= truth_figures(truths)
    figures["warnings"] = _doubts(request, plans, judged, truths, figures)
    problems = [SkippedPair(clip.clip, None, None, clip.truth_problem) for clip in judged if clip.truth_problem]
    before, after = ([pair._asdict() for pair in pairs] for pairs in (bad.skipped, problems))
    figures["skipped"] = before + figures["skipped"] + after
    if request.against:
        others = [one for clip in judged for run in clip.results[1:] for one in run]
        figures["against"] = {"predictions": str(request.against)} | compare(results, others, request.protocol)
    return figures


def _doubts(
    request: Request,
    plans: Mapping[str, ClipPlan],
    judged: Sequence[JudgedClip],
    truths: Mapping[str, TruthCounts],
    figures: Mapping[str, Any],
) -> list[str]:
    """What makes the figures doubtful, one line each."""
    known = {clip.clip: clip.warp_correlation for clip in judged if clip.warp_correlation is not None}
    lines = flow_doubts(known, (plans[name].step or 1 for name in known))
    cityscapes = next(iter(plans.values())).folder.cityscapes
    if cityscapes or figures["per_class"].keys() == {str(one) for one in range(CITYSCAPES.count)}:
        present = [int(one) for one, value in figures["per_class"].items() if value is not None]
        lines += label_id_doubts(present, str(request.predictions))
    if truths:
        lines += truth_doubts(pooled_confusion(truths), str(request.labels))
    return lines
