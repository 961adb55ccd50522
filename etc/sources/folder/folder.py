"""A user's own folder of frames as a source, with or without labels.

Clips and frames are identified by file names; etc/sources/folder/layouts.py has the layouts. A *recording* here is a
clip of that folder; it is cut where its numbering departs from its step, since frames there are not neighbours in time.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from etc.core.errors import UserError, many
from etc.dataset.label_sets import LabelSet
from etc.sources import class_file
from etc.sources.clip_names import safe_names
from etc.sources.folder.layouts import (
    CLIP_JUMP,
    FRAME_SUFFIXES,
    ID_SUFFIXES,
    LAST_NUMBER,
    VSPW_FRAMES,
    VSPW_LABELS,
    ClipFolder,
    Files,
    detected_step,
    read_folder,
)
from etc.sources.folder.params import FolderParams
from etc.sources.source import Frame, Gap, Listing, Source
from etc.sources.splits import Candidate, deal

MOST_NOTES = 3  # of one kind


class Piece(NamedTuple):
    """Frames of one recording that follow each other at one step."""

    recording: str
    frames: Files
    label: str


class Folder(Source[FolderParams]):
    """A folder of frames."""

    def list(self, root: Path, made: Path, workers: int) -> Listing:
        """All frames whose clip and number are known, by clips.

        Raises:
            UserError: a folder, class file or clip of the parameters does not exist, or a frame number is too large.
        """
        label_set = class_file.load(self.params.classes, root)
        images = _read(root, "images", self.params.images, FRAME_SUFFIXES, VSPW_FRAMES)
        notes = _strays(images, root)
        labels: dict[str, Files] = {}
        if self.params.labels is not None:
            labels, more = _labels(root, self.params.labels, images, label_set)
            notes += more
        pieces = [piece for recording, files in images.clips.items() for piece in cut(recording, files)]
        _check_numbers(pieces)
        notes += _cuts(pieces)
        names = safe_names((piece.label for piece in pieces), keep="-")
        clips = [
            Candidate(names[piece.label], piece.recording or names[piece.label], (piece.label,)) for piece in pieces
        ]
        split_of, more = deal(clips, self.params.split)
        frames = list(_frames(root, zip(clips, pieces, strict=True), split_of, labels, self.params.annotated))
        gaps = _gaps(pieces, names, split_of, images.cityscapes)
        return Listing(frames, label_set, tuple(notes + more), tuple(gaps))


def cut(recording: str, files: Files) -> Iterator[Piece]:
    """The clips of a recording: its step is the most common difference of numbers; any other begins a new clip."""
    numbers = list(files)
    step = detected_step(numbers)
    starts = [0, *(place for place, (one, two) in enumerate(pairwise(numbers), 1) if two - one != step), len(numbers)]
    for first, end in pairwise(starts):
        label = recording if len(starts) == 2 else f"{recording or 'clip'}_{numbers[first]:06d}"
        yield Piece(recording, {number: files[number] for number in numbers[first:end]}, label)


def _read(
    root: Path, key: str, folder: str, suffixes: Sequence[str], vspw: str, prefer: Sequence[str] = ()
) -> ClipFolder:
    path = root / folder
    if not path.is_dir():
        none = ", or null where there are none" if key == "labels" else ""
        raise UserError(f"{path}: no such folder; correct {key} in params/frames.yaml{none}")
    return read_folder(path, suffixes, prefer, vspw)


def _labels(
    root: Path, folder_name: str, images: ClipFolder, label_set: LabelSet
) -> tuple[dict[str, Files], list[str]]:
    """The labels of each recording, and notes about them."""
    prefer = ("color",) if label_set.in_colours else ("labelIds", "labelTrainIds")
    folder = _read(root, "labels", folder_name, ID_SUFFIXES, VSPW_LABELS, prefer)
    found = {recording: folder.match(recording, images) or {} for recording in images.clips}
    frames = {path for files in images.clips.values() for path in files.values()}
    both = sorted(path for files in folder.clips.values() for path in files.values() if path in frames)
    if both:
        raise UserError(
            f"{both[0]}: both a frame and a label, as images and labels name one folder; keep them apart, or in "
            f"{VSPW_FRAMES}/ and {VSPW_LABELS}/ of each clip"
        )
    matched = sum(len(files.keys() & images.clips[recording].keys()) for recording, files in found.items())
    if not matched:
        raise UserError(
            f"{folder.root}: no label matches a frame: the labels' clips are {folder.known()}, the frames' "
            f"{images.known()}; give both the same names, or correct labels in params/frames.yaml"
        )
    notes = _strays(folder, root)
    number = sum(map(len, images.clips.values()))
    if matched < number:
        notes.append(f"{number - matched} of {many(number, 'frame has', 'frames have')} no label")
    used = {id(files) for files in found.values()}
    lost = [path for files in folder.clips.values() if id(files) not in used for path in files.values()]
    lost += [
        path
        for recording, files in found.items()
        for frame, path in files.items()
        if frame not in images.clips[recording]
    ]
    if lost:
        files = many(len(lost), "label file belongs to no frame and is", "label files belong to no frame and are")
        notes.append(f"{files} left out, first {_name(root, min(lost))}")
    return found, notes


def shortened(notes: Sequence[str], what: str) -> list[str]:
    """The first notes of one kind, and one that counts the others.

    Args:
        notes: one a case.
        what: the cases in the last note, e.g. ``files left out``.
    """
    rest = len(notes) - MOST_NOTES
    # One more note is as short as a count of one.
    return [*notes] if rest <= 1 else [*notes[:MOST_NOTES], f"... and {rest} more {what}"]


def _strays(folder: ClipFolder, root: Path) -> list[str]:
    lines = [line.replace(f"{root}{os.sep}", "") for line in folder.strays]
    return shortened([f"left out: {line}" for line in lines], f"files of {_name(root, folder.root)} left out")


def _check_numbers(pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        last = max(piece.frames)
        if last > LAST_NUMBER:
            raise UserError(
                f"{piece.frames[last]}: frame number {last} is above {LAST_NUMBER}; number the frames of a clip from 0"
            )


def _by_recording(pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    grouped: dict[str, list[Piece]] = {}
    for piece in pieces:
        grouped.setdefault(piece.recording, []).append(piece)
    return grouped


def _gaps(
    pieces: Sequence[Piece], names: Mapping[str, str], split_of: Mapping[str, str], cityscapes: bool
) -> Iterator[Gap]:
    """Where frames are missing between pieces of one recording, before clips that have a split.

    That is known only where at least half of the frames keep one step. As in ``etc tc``, a long jump between files with
    Cityscapes names starts the next clip.
    """
    for group in _by_recording(pieces).values():
        steps = Counter(two - one for one, two in pairwise(number for piece in group for number in piece.frames))
        step = detected_step([number for piece in group for number in piece.frames])
        if step is None or 2 * steps[step] < steps.total():
            continue
        for before, behind in pairwise(group):
            after, frame = max(before.frames), min(behind.frames)
            missing = (frame - after) // step - 1
            by_nature = cityscapes and frame - after > CLIP_JUMP * step
            if missing > 0 and not by_nature and names[behind.label] in split_of:
                yield Gap(names[behind.label], frame, after, missing)


def _cuts(pieces: Sequence[Piece]) -> list[str]:
    """Notes about recordings that were cut."""
    lines = []
    for recording, group in _by_recording(pieces).items():
        if len(group) > 1:
            alone = sum(len(piece.frames) == 1 for piece in group)
            lonely = (
                f", {alone} of them of one frame: are its frames numbered in steps?" if alone > len(group) // 2 else ""
            )
            step = detected_step([number for piece in group for number in piece.frames])
            lines.append(
                f"clip {recording or 'without a name'} is split into {len(group)} clips where its numbering "
                f"departs from the step of {step}{lonely}"
            )
    return shortened(lines, "clips cut for the same reason")


def _frames(
    root: Path,
    clips: Iterator[tuple[Candidate, Piece]],
    split_of: dict[str, str],
    labels: dict[str, Files],
    every: int,
) -> Iterator[Frame]:
    labelled: dict[str, int] = {}  # labelled frames of each recording so far
    for clip, piece in clips:
        if clip.clip not in split_of:
            continue
        known = labels.get(piece.recording, {})
        for number, path in piece.frames.items():
            annotated = False
            if number in known:
                place = labelled.get(piece.recording, 0)
                labelled[piece.recording] = place + 1
                annotated = every > 0 and place % every == 0
            label = _name(root, known[number]) if number in known else ""
            yield Frame(clip.clip, number, split_of[clip.clip], annotated, _name(root, path), label)


def _name(root: Path, path: Path) -> str:
    """The path below the root with '/'; many times faster than ``Path.relative_to``."""
    text = os.fspath(path)[len(os.fspath(root)) :].replace(os.sep, "/").lstrip("/")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{text!r}: the name of this file is not UTF-8; rename it") from error
    return text or "."
