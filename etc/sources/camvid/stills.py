"""CamVid's stills: their files and what the names say: sequence, number, published split, clips.

In ``0001TP_006690``, ``0006R0_f00930``, ``Seq05VD_f00000`` and ``0016E5_07959`` the number counts 30 frames a
second. Most stills are one second (30 frames) apart; only 0016E5_07959 … 08159 are every second frame.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# Frames further apart are useless for optical flow, and begin a new clip.
LONGEST_STEP = 3
FRAMES_PER_SECOND = 30
# The smallest distance of the stills that are one second apart.
STILLS_APART = 29

_NAME = re.compile(r"(?P<sequence>[0-9A-Za-z]+)_(?P<mark>f?)(?P<number>\d+)")

# The split of Sturgess et al. (BMVC 2009), which the SegNet form has as folders: sequence, first and last number.
PUBLISHED = (
    ("0016E5", 7959, 8159, "dev"),
    ("0001TP", 0, 8520, "train"),
    ("0001TP", 8550, 99_999, "test"),
    ("0006R0", 0, 99_999, "train"),
    ("0016E5", 0, 99_999, "train"),
    ("Seq05VD", 0, 99_999, "test"),
)
COUNTS = {"train": 367, "dev": 101, "test": 233}


@dataclass(frozen=True)
class Still:
    """A frame of CamVid.

    Attributes:
        sequence: e.g. 0016E5.
        number: in the recording.
        mark, digits: how the number is written, e.g. "f" and 5.
        split: train, dev or test.
        annotated: whether training may use the label.
        image, label: paths below the root; label may be empty.
    """

    sequence: str
    number: int
    mark: str
    digits: int
    split: str = ""
    annotated: bool = False
    image: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """As in its file name, without the ending."""
        return f"{self.sequence}_{self.mark}{self.number:0{self.digits}d}"

    def at(self, number: int, image: str = "") -> "Still":
        """The frame of this number in the same recording and split, without a label."""
        return replace(self, number=number, annotated=False, image=image, label="")


def parse(stem: str) -> Still | None:
    """The frame of a file name without ending, as of an image; None when the name is not CamVid's."""
    found = _NAME.fullmatch(stem)
    if found is None:
        return None
    return Still(found["sequence"], int(found["number"]), found["mark"], len(found["number"]))


def published_split(still: Still) -> str | None:
    """train, dev or test in the published split; None for other frames."""
    for sequence, first, last, split in PUBLISHED:
        if still.sequence == sequence and first <= still.number <= last:
            return split
    return None


def runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Cut sorted numbers into clips: within one, numbers follow each other at one step of at most LONGEST_STEP."""
    run: list[int] = []
    for number in numbers:
        step = number - run[-1] if run else 0
        if run and (step > LONGEST_STEP or (len(run) > 1 and step != run[1] - run[0])):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def lacking(sequence: str, before: int, after: int, step: int, neighbours: int = 0) -> int:
    """How many frames are missing between two clips of a sequence; 0 where they are apart by design.

    Args:
        sequence: e.g. 0016E5.
        before, after: last number of the one clip, first of the other.
        step: of clips of this sequence.
        neighbours: frames that were to be cut on each side of a still.
    """
    video, first, last, _ = PUBLISHED[0]
    in_video = sequence == video and first <= before and after <= last
    if in_video or after - before < STILLS_APART - 2 * neighbours:
        return max(0, (after - before) // step - 1)
    return 0


def by_sequence(stills: Iterable[Still]) -> dict[str, list[Still]]:
    """Stills of each sequence, sorted by number; sequences sorted by name."""
    groups: dict[str, list[Still]] = {}
    for still in sorted(stills, key=lambda one: (one.sequence, one.number)):
        groups.setdefault(still.sequence, []).append(still)
    return groups


def short_of(stills: Iterable[Still]) -> list[str]:
    """A note for every split that has fewer frames than the published one."""
    found = {split: 0 for split in COUNTS}
    for still in stills:
        found[still.split] += 1
    return [
        f"{split}: {found[split]} of the {count} published frames are here"
        for split, count in COUNTS.items()
        if found[split] != count
    ]


def names_in(folder: Path) -> list[str]:
    """Names of the PNG files of a folder, sorted, without hidden ones; none where there is no such folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".png") and entry.name[0] != ".")
