"""Neighbours of CamVid's stills, cut from the original videos.

The names of the stills number the frames of the recording, but the published videos may begin later: 01TP_extract.avi
with 0001TP_006690. Where a video begins is either told, or its first still is searched for; then every still must be
the very frame that its number says.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from etc.core.errors import UserError, many
from etc.core.files import atomic, read_json, write_json
from etc.core.progress import track
from etc.dataset import pictures
from etc.sources.camvid.decoding import ShortVideoError, frames_at
from etc.sources.camvid.stills import PUBLISHED, Still, by_sequence
from etc.workers import Workers

FOLDER = "cut"
SUFFIXES = (".mxf", ".avi", ".mp4", ".mov", ".mkv", ".mpg", ".mpeg", ".m4v", ".ts")

# dB, of grey pictures. A still is its frame but for rounding (above 38 dB); in the 15 Hz clip, 360x480, frames 2 apart
# have 19 to 23 dB.
SAME = 30.0
# Where the car stands and the video was compressed again, a frame beside a still may by chance be this much nearer.
MARGIN = 1.0
NEARBY = 3
# Frames to look at after the first that could be the still: the most similar one is it.
SETTLE = 30

_RECIPE = "video.json"


@dataclass(frozen=True)
class Cut:
    """The frames that were cut.

    Attributes:
        numbers: of the neighbours that are there, for each sequence.
        notes: one line each for what is missing, and where videos begin.
    """

    numbers: Mapping[str, frozenset[int]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    video: Path
    stills: tuple[Still, ...]
    root: Path
    made: Path
    neighbours: int
    first: int | None


def cut_name(still: Still) -> str:
    """Path of a cut frame below the folder of made files."""
    return f"{FOLDER}/{still.sequence}/{still.name}.png"


def windows(stills: Iterable[Still], neighbours: int) -> dict[int, Still]:
    """The neighbours of stills of one sequence, without the stills: number to the still beside which it lies.

    Raises:
        UserError: a frame is a neighbour of stills of two splits.
    """
    stills = sorted(stills, key=lambda still: still.number)
    numbers = {still.number for still in stills}
    found: dict[int, Still] = {}
    for still in stills:
        for number in range(max(0, still.number - neighbours), still.number + neighbours + 1):
            if number in numbers:
                continue
            first = found.setdefault(number, still)
            if first.split != still.split:
                raise UserError(
                    f"{still.sequence}: frame {number} is a neighbour of {first.name} ({first.split}) and of "
                    f"{still.name} ({still.split}); lower neighbours, which is {neighbours}"
                )
    return found


def find_videos(folder: Path, sequences: Iterable[str]) -> dict[str, Path]:
    """The videos of sequences in a folder, by file name: 0016E5.MXF, 0005VD.MXF, 01TP_extract.avi.

    Raises:
        UserError: there is no such folder, none of the videos, or two of one sequence.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; correct videos in params/frames.yaml")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    found: dict[str, Path] = {}
    for sequence in sequences:
        core = re.escape(re.sub("^(seq)?0*", "", sequence, flags=re.IGNORECASE))
        named = [
            path for path in files if re.search(rf"(^|[^0-9a-z]|seq)0*{core}([^0-9a-z]|$)", path.stem.lower(), re.I)
        ]
        if len(named) > 1:
            raise UserError(f"{folder}: {named[0].name} and {named[1].name} are both of {sequence}; keep one of them")
        if named:
            found[sequence] = named[0]
    if not found:
        raise UserError(
            f"{folder}: holds no video of {', '.join(sequences)} (such as 0016E5.MXF, or {', '.join(SUFFIXES[1:])}); "
            "correct videos"
        )
    return found


def cut(
    stills: Sequence[Still],
    folder: Path,
    root: Path,
    made: Path,
    neighbours: int,
    first_frames: Mapping[str, int],
    workers: int,
) -> Cut:
    """Cut the neighbours of all stills into ``made``; frames that an interrupted run has cut are kept.

    Args:
        stills: of the frames that are used, with images below ``root``.
        folder: of the videos.
        root: the data set's folder.
        made: where :func:`cut_name` is written.
        neighbours: frames on each side of a still.
        first_frames: number of the first frame of the video, of sequences for which it is known.
        workers: processes, each with a video.

    Raises:
        UserError: a video is damaged, too short or another one, or its frames have other numbers.
    """
    groups = by_sequence(stills)
    # A split may leave a sequence out.
    known = sorted({*groups, *(sequence for sequence, *_ in PUBLISHED)})
    if unknown := sorted(set(first_frames) - set(known)):
        raise UserError(f"first_frames: there is no sequence {unknown[0]!r}; known: {', '.join(known)}")
    videos = find_videos(folder, groups)
    notes = [
        f"{sequence}: no video in {folder.name}, so its {len(group)} stills have no neighbours"
        for sequence, group in groups.items()
        if sequence not in videos
    ]
    jobs = [
        _Job(video, tuple(groups[sequence]), root, made, neighbours, first_frames.get(sequence))
        for sequence, video in videos.items()
    ]
    numbers: dict[str, frozenset[int]] = {}
    with Workers(min(workers, len(jobs))) as pool:
        for job, (there, line) in zip(jobs, track(pool.map(_cut, jobs), len(jobs), "videos"), strict=True):
            numbers[job.stills[0].sequence] = there
            notes.append(line)
    return Cut(numbers, tuple(notes))


def _cut(job: _Job) -> tuple[frozenset[int], str]:
    """Cut the frames of one video. Returns the numbers that are there, and a note."""
    sequence = job.stills[0].sequence
    first = _prepare(job)
    stills = {still.number: still for still in job.stills}
    if min(stills) < first:
        raise UserError(
            f"{sequence}: {stills[min(stills)].name} precedes frame {first}, the first of {job.video.name}; "
            f"correct first_frames: {{{sequence}: {first}}}"
        )
    beside = {
        number: still.at(number) for number, still in windows(job.stills, job.neighbours).items() if number >= first
    }

    def missing() -> set[int]:
        return {number for number, frame in beside.items() if not (job.made / cut_name(frame)).exists()}

    note = f"{sequence}: {job.video.name} begins with frame {first}"
    if absent := missing():
        _write(job, first, stills, beside, absent)
        if absent := missing():
            note += f"; it ends before {many(len(absent), 'neighbour')} of the last still"
    return frozenset(beside) - absent, note


def _prepare(job: _Job) -> int:
    """Empty the folder if it was cut with other settings. Returns the number of the video's first frame."""
    folder = job.made / FOLDER / job.stills[0].sequence
    known = {"video": job.video.name, "bytes": job.video.stat().st_size, "neighbours": job.neighbours}
    recipe = read_json(folder / _RECIPE) if (folder / _RECIPE).exists() else {}
    first = job.first
    if first is None:
        same = known.items() <= recipe.items() and "first" in recipe
        first = recipe["first"] if same else _search(job)
    if recipe != {**known, "first": first}:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / _RECIPE, {**known, "first": first})
    return first


def _search(job: _Job) -> int:
    """Number of the video's first frame: the one that puts the first still at the frame it is most similar to."""
    still = min(job.stills, key=lambda one: one.number)
    picture = _grey(job.root / still.image)
    best, similar, until = 0, -1.0, still.number
    try:
        for index, frame in frames_at(job.video, range(still.number + 1)):
            if (now := _similarity(frame, picture)) > similar:
                best, similar = index, now
                if similar >= SAME:
                    until = index + SETTLE
            if index >= until:
                break
    except ShortVideoError:
        pass  # A video may begin late and be short; all of it was compared.
    if similar < SAME:
        raise UserError(
            f"{job.video}: none of its frames 0 to {still.number} is {still.image} (the nearest is {best}, PSNR "
            f"{similar:.1f} dB instead of {SAME:.0f}); take it out of the folder, or give the video of {still.sequence}"
        )
    return still.number - best


def _write(job: _Job, first: int, stills: Mapping[int, Still], beside: Mapping[int, Still], missing: set[int]) -> None:
    """Decode the video once: check every still, and write the neighbours that are missing.

    Those of the last still may lie behind the end of the video; stills must not.
    """
    shape = _grey(job.root / job.stills[0].image).shape
    before: tuple[int, np.ndarray] | None = None
    last: tuple[Still, np.ndarray, float] | None = None  # a still, its picture, its similarity to its frame
    try:
        for index, frame in frames_at(job.video, [number - first for number in (*stills, *beside)]):
            number = index + first
            if last and number == last[0].number + 1 and _similarity(frame, last[1]) > last[2] + MARGIN:
                raise _shifted(job, last[0], first, last[2])
            if number in stills:
                picture = _grey(job.root / stills[number].image)
                similarity = _similarity(frame, picture)
                earlier = _similarity(before[1], picture) if before and before[0] == number - 1 else 0.0
                if similarity < SAME or earlier > similarity + MARGIN:
                    raise _shifted(job, stills[number], first, similarity)
                last = stills[number], picture, similarity
            if number in missing:
                _save(job, beside[number], frame, shape)
            before = number, frame
    except ShortVideoError as error:
        if last is None or last[0].number < max(stills):
            raise UserError(f"{error}, or correct first_frames: {{{job.stills[0].sequence}: {first}}}") from error


def _shifted(job: _Job, still: Still, first: int, similarity: float) -> UserError:
    """The error for a still that is not the frame of its number."""
    index = still.number - first
    picture = _grey(job.root / still.image)
    similar: dict[int, float] = {}
    try:
        for near, frame in frames_at(job.video, range(max(0, index - NEARBY), index + NEARBY + 1)):
            similar[near - index] = _similarity(frame, picture)
    except ShortVideoError:
        pass  # The frames up to the end are enough.
    shift = max(similar, key=lambda offset: similar[offset])
    found = f"{still.image} is not frame {index} of {job.video} (PSNR {similarity:.1f} dB)"
    if similar[shift] < SAME:
        return UserError(
            f"{found}, nor one of the {NEARBY} on each side (at best {similar[shift]:.1f} dB): the video is another "
            f"one, or frames of it are missing; get it again, or correct first_frames: {{{still.sequence}: {first}}}"
        )
    return UserError(
        f"{found}, but frame {index + shift} ({similar[shift]:.1f} dB): frame numbers are shifted by {shift}; set "
        f"first_frames: {{{still.sequence}: {first - shift}}}, or get the video again if only a part of it is shifted"
    )


def _save(job: _Job, target: Still, frame: np.ndarray, shape: tuple[int, int]) -> None:
    # All frames of a data set have one size: that of the stills.
    if frame.shape[:2] != shape:
        frame = cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".png", frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
    with atomic(job.made / cut_name(target), durable=False) as stream:
        stream.write(data)


def _grey(path: Path) -> np.ndarray:
    return cv2.cvtColor(pictures.read(path, "frame"), cv2.COLOR_RGB2GRAY)


def _similarity(frame: np.ndarray, picture: np.ndarray) -> float:
    """PSNR in dB of a frame, uint8 (H, W, 3) RGB, and a grey picture of any size, to which it is scaled."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if grey.shape != picture.shape:
        grey = cv2.resize(grey, picture.shape[::-1], interpolation=cv2.INTER_AREA)
    return cv2.PSNR(grey, picture)
