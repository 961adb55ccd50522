"""Which files of a folder belong to which clip and frame, by their names.

Four layouts are detected:

- *Cityscapes*: ``{city}_{sequence}_{frame}[_{type}]``, in any subfolders. The clip is ``{city}_{sequence}``.
- *VSPW*: ``{clip}/origin/{frame}`` for frames and ``{clip}/mask/{frame}`` for labels, in any subfolders.
- *names*: ``{clip}_{frame}`` as in CamVid (``0016E5_07959``, ``0006R0_f00930``) and KITTI (``000000_10``), in one
  folder or in several that hold clips side by side. The clip is the text before the number.
- *folders*: one folder per clip, files with any name that ends in the frame number. The clip is the folder's path below
  the root. Files with bare numbers directly in the root are one clip without a name.

The number may be a time: nanoseconds, or seconds with their fraction (``1305031102.175304``), which are read as
nanoseconds. After it may stand what the file is (``00000000_pred`` as mmsegmentation writes it), and it may stand in
brackets (``frame (1)``) if it does so in all names of its folder; elsewhere ``0001 (1)`` is a second copy of ``0001``.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from etc.core.errors import UserError
from etc.sources.clip_names import first_names

Files = dict[int, Path]

# As etc/dataset/pictures.py reads them.
ID_SUFFIXES = (".png", ".npy")
FRAME_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
UNNAMED = ""
# Long Cityscapes recordings hold many clips. A jump in the numbering by more steps starts the next clip, a smaller one
# is a gap in a clip.
CLIP_JUMP = 5

_CITYSCAPES = re.compile(r"(?P<clip>[A-Za-z][A-Za-z-]*(?:_\d\d)?_\d{6})_(?P<frame>\d{6})(?:_(?P<kind>\w+))?")
# An optional f before the number and _L after it are CamVid's.
_WHAT = r"(?:_(?:L|pred|prediction|mask|label|labels|gt|seg|flow))?"
_NUMBERED = re.compile(rf"(?P<clip>.*?)[_.-]?f?(?P<frame>\d+){_WHAT}")
# Seconds since 1970 with their fraction, of the years 2001 to 2033: 1305031102.175304.
_SECONDS = re.compile(rf"(?P<clip>.*?)[_.-]?(?P<seconds>1\d{{9}})\.(?P<fraction>\d{{1,9}}){_WHAT}")
_BRACKETED = re.compile(rf"(?P<clip>.*?)[ _]?\((?P<frame>\d+)\){_WHAT}")
# VSPW's folders of frames and of labels below the folder of a clip.
VSPW_FRAMES, VSPW_LABELS = "origin", "mask"
# Numbers beyond are times, e.g. in nanoseconds. Files and tables of this project hold 32-bit frame numbers.
LAST_NUMBER = 2**31 - 1
_LAST_TIME = 2**63 - 1


@dataclass(frozen=True)
class ClipFolder:
    """The files of a folder, by clip and frame.

    Attributes:
        root: the folder.
        clips: clip name to frame number to file; clips sorted by name, frames by number.
        cityscapes: whether the names are those of Cityscapes.
        strays: one line for each file that fits nowhere, with its name and the reason.
    """

    root: Path
    clips: Mapping[str, Files]
    cityscapes: bool
    strays: tuple[str, ...]

    def match(self, clip: str, other: "ClipFolder") -> Files | None:
        """Files of the clip of this name; None if there are none.

        Where this folder and the other one have one clip each, a clip without a name matches whatever the other's name.

        Args:
            clip: its name in the other folder.
            other: the other folder.
        """
        if len(self.clips) == len(other.clips) == 1 and UNNAMED in (clip, *self.clips):
            return next(iter(self.clips.values()))
        return self.clips.get(clip)

    def known(self) -> str:
        """Some of the clip names, for messages."""
        return first_names(self.clips)


def read_folder(
    root: str | os.PathLike, suffixes: Iterable[str], prefer: Iterable[str] = (), vspw: str = ""
) -> ClipFolder:
    """Find the clips of a folder and of its subfolders; hidden files are left out.

    Args:
        root: the folder.
        suffixes: lower-case endings of the files that are looked for.
        prefer: types of Cityscapes files, best first, for folders such as ``gtFine`` that hold several of one frame:
            only the first type that occurs is taken.
        vspw: ``VSPW_FRAMES`` or ``VSPW_LABELS``, which of the two folders of a VSPW clip to take.

    Raises:
        UserError: there is no such folder, or no such file in it, or a name is not UTF-8.
    """
    root, suffixes = Path(root), tuple(suffixes)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    paths = sorted(path for path in visible_files(root) if path.suffix.lower() in suffixes)
    if not paths:
        raise UserError(f"{root}: the folder holds no {' or '.join(suffixes)} file")
    if any(path.suffix.lower() == ".png" for path in paths):
        # Arrays beside pictures of ids are their probabilities.
        paths = [path for path in paths if path.suffix.lower() != ".npy"]
    check_names(paths)
    paths = _preferred(paths, prefer)
    in_vspw = _is_vspw(root, paths)
    if in_vspw and vspw:
        paths = [path for path in paths if path.parent.name == vspw]
        if not paths:
            raise UserError(f"{root}: VSPW's layout, but no folder '{vspw}' holds a {' or '.join(suffixes)} file")
    names = _parsed(paths)
    strays = [f"{path}: no frame number in its name" for path, found in names.items() if not found]
    numbered = {path: found for path, found in names.items() if found}
    cityscapes = bool(numbered) and all(_CITYSCAPES.fullmatch(path.stem) for path in numbered)
    named = not cityscapes and _clips_in_names(root, numbered)
    clips: defaultdict[str, Files] = defaultdict(dict)
    for path, found in numbered.items():
        number = _number(found)
        if number > _LAST_TIME:
            strays.append(f"{path}: its frame number is above {_LAST_TIME}; number the frames of a clip from 0")
            continue
        folder = path.parent.parent if in_vspw and vspw else path.parent
        clip = found["clip"] if cityscapes or named else _below(root, folder)
        first = clips[clip].setdefault(number, path)
        if first != path:
            strays.append(f"{path}: the same clip and frame as {first}; keep one of them")
    ordered = {clip: dict(sorted(clips[clip].items())) for clip in sorted(clips)}
    return ClipFolder(root, ordered, cityscapes, tuple(strays))


def is_cityscapes(path: Path) -> bool:
    """Whether the file is named as in Cityscapes."""
    return _CITYSCAPES.fullmatch(path.stem) is not None


def cityscapes_kind(path: Path) -> str:
    """What follows the frame number of a Cityscapes name, e.g. ``gtFine_labelIds``; else an empty text."""
    found = _CITYSCAPES.fullmatch(path.stem)
    return (found["kind"] or "") if found else ""


def visible_files(root: Path) -> Iterator[Path]:
    """Files that are not hidden.

    Links to folders are followed: clips are often linked together from elsewhere. A link that leads back to a folder on
    the way to it is not; its files are found without it.
    """
    for folder, below, files in os.walk(root, followlinks=True):
        below[:] = [name for name in below if not name.startswith(".") and not _leads_back(root, Path(folder, name))]
        yield from (Path(folder, name) for name in files if not name.startswith("."))


def check_names(paths: Iterable[Path]) -> None:
    """Raise ``UserError`` for a path that is not UTF-8: no table and no terminal can hold it."""
    for path in paths:
        text = os.fspath(path)
        try:
            text.isascii() or text.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{text!r}: this name is not UTF-8; rename the file or folder") from error


def detected_step(numbers: Iterable[int]) -> int | None:
    """The distance of one frame to the next of a clip, from sorted frame numbers; None for one frame.

    It is the most common difference, the smallest of equally common ones. Times (numbers above ``LAST_NUMBER``) jitter:
    there it is the median difference, the lower one of two.
    """
    numbers = list(numbers)
    differences = [second - first for first, second in pairwise(numbers)]
    if not differences:
        return None
    if numbers[-1] > LAST_NUMBER:
        return sorted(differences)[(len(differences) - 1) // 2]
    count = Counter(differences)
    return min(count, key=lambda difference: (-count[difference], difference))


def one_step(source: int, target: int, step: int) -> bool:
    """Whether ``target`` is the frame one step after ``source``; for times, up to half a step off."""
    slack = step // 2 if target > LAST_NUMBER else 0
    return abs(target - source - step) <= slack


def _preferred(paths: list[Path], prefer: Iterable[str]) -> list[Path]:
    for kind in prefer:
        chosen = [path for path in paths if cityscapes_kind(path).endswith(kind)]
        if chosen:
            return chosen
    return paths


def _stem(path: Path) -> str:
    """The name without its ending and without the type of a Cityscapes name, so that it ends in the frame number."""
    found = _CITYSCAPES.fullmatch(path.stem)
    return f"{found['clip']}_{found['frame']}" if found else path.stem


def _parsed(paths: Iterable[Path]) -> dict[Path, re.Match | None]:
    """What each name says of clip and frame; None if it has no frame number."""
    plain = {path: _SECONDS.fullmatch(path.stem) or _NUMBERED.fullmatch(_stem(path)) for path in paths}
    numbered = {path.parent for path, found in plain.items() if found}
    return {
        path: found or (None if path.parent in numbered else _BRACKETED.fullmatch(path.stem))
        for path, found in plain.items()
    }


def _number(name: re.Match) -> int:
    """The frame number; of seconds with a fraction, the nanoseconds."""
    if name.re is _SECONDS:
        return int(name["seconds"] + name["fraction"].ljust(9, "0"))
    return int(name["frame"])


def _is_vspw(root: Path, paths: Iterable[Path]) -> bool:
    """Whether all files lie in VSPW's two folders, below the root."""
    folders = {path.parent for path in paths}
    return root not in folders and {folder.name for folder in folders} <= {VSPW_FRAMES, VSPW_LABELS}


def _clips_in_names(root: Path, names: Mapping[Path, re.Match]) -> bool:
    """Whether the names give the clip: files lie directly in the root, or a folder holds names of several clips."""
    prefixes: defaultdict[Path, set[str]] = defaultdict(set)
    for path, found in names.items():
        prefixes[path.parent].add(found["clip"])
    return root in prefixes or any(len(found) > 1 for found in prefixes.values())


def _below(root: Path, folder: Path) -> str:
    return UNNAMED if folder == root else folder.relative_to(root).as_posix()


def _leads_back(root: Path, folder: Path) -> bool:
    """Whether a folder below the root is a link to one of the folders above it, or to a folder that holds one."""
    if not folder.is_symlink():
        return False
    target = folder.resolve()
    above = [parent for parent in folder.parents if parent.is_relative_to(root)]
    return any(parent.resolve().is_relative_to(target) for parent in above)
