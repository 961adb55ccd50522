"""Which files of a folder belong to which clip and frame, told by their names.

Three layouts, found out by themselves:

- *Cityscapes*: ``{city}_{sequence}_{frame}[_{type}]``, in any subfolders. The clip is ``{city}_{sequence}``.
- *names*: ``{clip}_{frame}`` as in CamVid (``0016E5_07959``, ``0006R0_f00930``), in one folder or in several that hold
  clips side by side. The clip is what stands before the number.
- *folders*: one folder per clip, files with any name that ends in the frame number. The clip is the folder's path below
  the root. Files with bare numbers right in the root are one clip without a name.
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
_NUMBERED = re.compile(r"(?P<clip>.*?)[_.-]?f?(?P<frame>\d+)(?:_L)?")


@dataclass(frozen=True)
class ClipFolder:
    """The files of a folder, by clip and frame.

    Attributes:
        root: the folder.
        clips: clip name to frame number to file; clips sorted by name, frames by number.
        cityscapes: whether the names are those of Cityscapes.
        strays: one line for every file that has no place, naming it and saying why.
    """

    root: Path
    clips: Mapping[str, Files]
    cityscapes: bool
    strays: tuple[str, ...]

    def match(self, clip: str) -> Files | None:
        """Files of the clip of this name; None when there is none. A clip without a name matches the only clip."""
        if len(self.clips) == 1 and (clip == UNNAMED or UNNAMED in self.clips):
            return next(iter(self.clips.values()))
        return self.clips.get(clip)

    def known(self) -> str:
        """Some of the clip names, for messages."""
        return first_names(self.clips)


def read_folder(root: str | os.PathLike, suffixes: Iterable[str], prefer: Iterable[str] = ()) -> ClipFolder:
    """Find the clips of a folder and of its subfolders; hidden files are left out.

    Args:
        root: the folder.
        suffixes: lower-case endings of the files that are looked for.
        prefer: types of Cityscapes files, best first, for folders such as ``gtFine`` that hold several of one frame:
            only the first type that occurs is taken.

    Raises:
        UserError: there is no such folder, or no such file in it.
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
    paths = _preferred(paths, prefer)
    strays = [f"{path}: no frame number in its name" for path in paths if not _NUMBERED.fullmatch(_stem(path))]
    numbered = [path for path in paths if _NUMBERED.fullmatch(_stem(path))]
    cityscapes = bool(numbered) and all(_CITYSCAPES.fullmatch(path.stem) for path in numbered)
    named = not cityscapes and _clips_in_names(root, numbered)
    clips: defaultdict[str, Files] = defaultdict(dict)
    for path in numbered:
        found = (_CITYSCAPES if cityscapes else _NUMBERED).fullmatch(path.stem if cityscapes else _stem(path))
        clip = found["clip"] if cityscapes or named else _below(root, path)
        first = clips[clip].setdefault(int(found["frame"]), path)
        if first != path:
            strays.append(f"{path}: the same clip and frame as {first}; keep one of them")
    ordered = {clip: dict(sorted(clips[clip].items())) for clip in sorted(clips)}
    return ClipFolder(root, ordered, cityscapes, tuple(strays))


def is_cityscapes(path: Path) -> bool:
    """Whether the file is named as in Cityscapes."""
    return _CITYSCAPES.fullmatch(path.stem) is not None


def cityscapes_kind(path: Path) -> str:
    """What stands behind the frame number of a Cityscapes name, e.g. ``gtFine_labelIds``; else an empty text."""
    found = _CITYSCAPES.fullmatch(path.stem)
    return (found["kind"] or "") if found else ""


def visible_files(root: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Files that are not hidden.

    Links to folders are followed, since clips are often linked together from elsewhere, but not back into a folder that
    leads to them: ``above`` identifies these folders.
    """
    status = root.stat()
    here = above | {(status.st_dev, status.st_ino)}
    if here == above:
        return
    folders = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError:  # A link to itself: whoever reads it says so.
                is_folder = False
            if is_folder:
                folders.append(Path(entry.path))
            else:
                yield Path(entry.path)
    for folder in folders:
        yield from visible_files(folder, here)


def detected_step(numbers: Iterable[int]) -> int | None:
    """The most common difference of sorted frame numbers, the smallest of equally common ones; None for one frame."""
    differences = Counter(second - first for first, second in pairwise(numbers))
    if not differences:
        return None
    return min(differences, key=lambda difference: (-differences[difference], difference))


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


def _clips_in_names(root: Path, paths: list[Path]) -> bool:
    """Whether the names say the clip: files lie right in the root, or a folder holds names of several clips."""
    prefixes: defaultdict[Path, set[str]] = defaultdict(set)
    for path in paths:
        prefixes[path.parent].add(_NUMBERED.fullmatch(_stem(path))["clip"])
    return root in prefixes or any(len(names) > 1 for names in prefixes.values())


def _below(root: Path, path: Path) -> str:
    return path.parent.relative_to(root).as_posix()
