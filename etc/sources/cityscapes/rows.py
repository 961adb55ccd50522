"""One folder of Cityscapes: its clips, their frames, labels and gaps, and remarks on irregularities."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass

from etc.core.errors import many
from etc.sources.cityscapes.clips import AFTER, BEFORE, LENGTH, Clip, cut_clips, holes
from etc.sources.cityscapes.files import Recordings
from etc.sources.cityscapes.params import CityscapesParams
from etc.sources.source import Frame, Gap

Place = tuple[str, int]  # recording and frame number


@dataclass(frozen=True)
class Folder:
    """The content of one folder.

    Attributes:
        name: train, val, test or train_extra.
        split: train, dev or test.
        sequence, still: pictures of leftImg8bit_sequence and leftImg8bit.
        labels: label files of each kind, labelIds and labelTrainIds.
        remarks: what reading it has shown.
    """

    name: str
    split: str
    sequence: Recordings
    still: Recordings
    labels: dict[str, Recordings]
    remarks: list[str]

    def places(self, kind: str) -> set[Place]:
        """Frames with a label file of a kind."""
        return _places(self.labels[kind])

    @property
    def annotated(self) -> set[Place]:
        """Frames with a label file of any kind."""
        return {place for kind in self.labels for place in self.places(kind)}


def frame_name(recording: str, number: int) -> str:
    """Name of a frame, and of the clip that it is the annotated frame of."""
    return f"{recording}_{number:06d}"


def rows(folder: Folder, kind: str, params: CityscapesParams) -> tuple[list[Frame], list[Gap], list[str]]:
    """The frames of a folder, its gaps, and remarks.

    Args:
        folder: as read.
        kind: of the label files to use.
        params: whether clips or annotated frames are listed, and which cities are dev.
    """
    # Labels of folder test are without content, but still show which frames are annotated.
    labels = {} if folder.name == "test" else folder.labels[kind]
    centres: defaultdict[str, list[int]] = defaultdict(list)
    for recording, number in folder.annotated | _places(folder.still):
        centres[recording].append(number)
    found: list[Frame] = []
    gaps: list[Gap] = []
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for recording in sorted({*folder.still, *folder.sequence}):
        still, sequence = folder.still.get(recording, {}), folder.sequence.get(recording, {})
        known = labels.get(recording, {})
        city = recording[:-7]
        split = "dev" if folder.name == "train" and city in params.dev_cities else folder.split
        if params.sequences:
            images = still | sequence
            clips = cut_clips(images, centres[recording])
        else:
            images = sequence | still
            clips = [
                Clip(number, range(number, number + 1)) for number in sorted(centres[recording]) if number in images
            ]
        named = {clip.frames.start: frame_name(recording, clip.annotated) + clip.suffix for clip in clips}
        if params.sequences:
            gaps += _gaps(named, images.keys(), sequence.keys(), centres[recording])
        for clip in clips:
            name = named[clip.frames.start]
            found += [
                Frame(name, number, split, number in known, images[number], known.get(number, ""))
                for number in clip.frames
            ]
            if params.sequences:
                _look(seen, name, clip, clip.annotated in images, sequence.keys())
        if labels:
            listed = {number for clip in clips for number in clip.frames}
            seen["annotated frames without a picture"] += _names(recording, known.keys() - listed)
            seen["frames of leftImg8bit without a label"] += _names(recording, still.keys() - known.keys())
    for recording in labels.keys() - folder.still.keys() - folder.sequence.keys():
        seen["annotated frames without a picture"] += _names(recording, labels[recording])
    remarks = [f"{what}: {len(names)}, e.g. {min(names)}" for what, names in seen.items() if names]
    if folder.name == "test":
        remarks.append("no labels: those of folder test are without content")
    if folder.name == "train_extra" and not labels:
        remarks.append(
            f"{many(len(found), 'frame without labels joins', 'frames without labels join')} split {folder.split}"
        )
    return found, gaps, remarks


def _gaps(
    named: Mapping[int, str], images: KeysView[int], sequence: KeysView[int], annotated: Iterable[int]
) -> Iterator[Gap]:
    """Where frames of one recording are missing, with the names of clips by their first frame."""
    # leftImg8bit_sequence may be there in part: a still whose clip is absent is not a gap.
    alone = {centre for centre in annotated if sequence.isdisjoint(range(centre - BEFORE, centre + AFTER + 1))}
    for after, frame in holes(images - alone, set(annotated) - alone):
        yield Gap(named[frame], frame, after, frame - after - 1)


def _look(seen: defaultdict[str, list[str]], name: str, clip: Clip, there: bool, sequence: KeysView[int]) -> None:
    """Note an irregular clip."""
    first, last = clip.frames[0], clip.frames[-1]
    if sequence.isdisjoint(clip.frames):
        seen["clips of one frame, since leftImg8bit_sequence has none"].append(name)
        return
    if not there:
        seen["clips without an annotated frame"].append(name)
    if clip.suffix:
        seen["parts of clips before or after a gap, as clips of their own"].append(name)
    elif clip.cut:
        seen["overlapping clips, whose frames are divided between them"].append(name)
    elif len(clip.frames) < LENGTH:
        seen[f"clips of fewer than {LENGTH} frames"].append(f"{name} ({first:06d} to {last:06d})")


def _places(recordings: Recordings) -> set[Place]:
    return {(recording, number) for recording, numbers in recordings.items() for number in numbers}


def _names(recording: str, numbers: Iterable[int]) -> list[str]:
    return [frame_name(recording, number) for number in numbers]
