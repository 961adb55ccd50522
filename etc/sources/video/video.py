"""A user's own videos as a source: they are cut into clips of frames, which are written beside the manifest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.core.progress import track
from etc.dataset.location import Location, variable
from etc.sources import class_file
from etc.sources.clip_names import first_names, safe_names
from etc.sources.folder.layouts import visible_files
from etc.sources.source import Frame, Gap, Listing, Source
from etc.sources.splits import Candidate, deal
from etc.sources.video import timeline as video_timeline
from etc.sources.video.params import VideoParams
from etc.sources.video.reading import Reader, Scan, scan
from etc.sources.video.timeline import Cut, Kept
from etc.workers import Workers

FOLDER = "clips"
# Encoding takes nearly all of the time: this is twice as fast as level 3, and files are a quarter larger.
FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]
ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


class Clip(NamedTuple):
    """One clip to be written: its video, the folder and the start of its files' names, its frames."""

    path: Path
    folder: str
    name: str
    frames: tuple[Kept, ...]


class Planned(NamedTuple):
    """One video before its frames are written: path below the root, scan, cut."""

    name: str
    scan: Scan
    cut: Cut


class Video(Source[VideoParams]):
    """Videos in a folder, or one."""

    @property
    def location(self) -> Location:
        """``root``, or its folder where it is one video; else ETC_ROOT_<DATA SET>."""
        root = self.params.root
        if root is not None and self._is_one:
            root = str(Path(root).parent)
        return Location(root, (variable(self.dataset),))

    @property
    def _is_one(self) -> bool:
        root = Path(self.params.root or "").expanduser()
        return root.is_file() or (root.suffix.lower() in ENDINGS and not root.is_dir())

    def _names(self, root: Path) -> Sequence[str]:
        """Paths of the videos below the root."""
        if not self._is_one:
            return find(root, self.params.files)
        path = root / Path(self.params.root or "").name
        if not path.is_file():
            raise UserError(f"{path}: no such video; correct root in params/frames.yaml")
        return [path.name]

    def list(self, root: Path, made: Path, workers: int) -> Listing:
        """Cut the videos and write their frames below ``made``; the files do not depend on ``workers``.

        Raises:
            UserError: a video cannot be read or has a lower rate than requested, or no clip is found.
        """
        label_set = class_file.load(self.params.classes, root)
        names = self._names(root)
        safe = dict(zip(names, _video_names(names).values(), strict=True))
        with Workers(workers) as pool:
            found = pool.map(partial(_plan, self.params, root), names)
            plans = [*track(found, total=len(names), label="videos")]
            clips = [clip for plan in plans for clip in _clips(root / plan.name, safe[plan.name], plan.cut)]
            if not clips:
                raise UserError(f"{root}: no video yields two consecutive frames; raise rate, or give longer videos")
            split_of, notes = deal(_candidates(clips, root, safe), self.params.split)
            used = [clip for clip in clips if clip.name in split_of]
            _write(self.params, used, made, pool, whole_videos=len(names) >= 2 * workers)
        frames = [
            Frame(clip.name, kept.number, split_of[clip.name], False, _file(clip, kept, self.params.format))
            for clip in used
            for kept in clip.frames
        ]
        gaps = [gap for plan in plans for gap in _gaps(safe[plan.name], plan.cut) if gap.clip in split_of]
        return Listing(frames, label_set, (*_notes(plans, self.params), *notes), tuple(gaps))


def find(root: Path, patterns: Sequence[str]) -> list[str]:
    """Paths below the root of files that match a pattern and none with ``!``, sorted; case is ignored.

    Raises:
        UserError: no file matches.
    """
    wanted = [pattern.lower() for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:].lower() for pattern in patterns if pattern.startswith("!")]
    found = []
    for path in visible_files(root):
        name = path.relative_to(root).as_posix()
        texts = (name.lower(), path.name.lower())
        if any(fnmatchcase(text, one) for one in wanted for text in texts) and not any(
            fnmatchcase(text, one) for one in unwanted for text in texts
        ):
            found.append(name)
    if not found:
        raise UserError(f"{root}: no file fits {' or '.join(patterns)}; correct root or files in params/frames.yaml")
    return sorted(found)


def _video_names(names: Sequence[str]) -> dict[str, str]:
    """Safe name of each video, from its path, without the ending unless two videos would share it."""
    plain = {name: name[: -len(Path(name).suffix)] if Path(name).suffix else name for name in names}
    single = {name: stem if list(plain.values()).count(stem) == 1 else name for name, stem in plain.items()}
    safe = safe_names(single.values())
    return {name: safe[text] for name, text in single.items()}


def _plan(params: VideoParams, root: Path, name: str) -> Planned:
    path = root / name
    cut = partial(_cut, params)
    enough: Callable[[np.ndarray], bool] = (lambda times: cut(times).full) if params.limit else (lambda times: False)
    try:
        found = scan(path, enough)
    except UserError as error:
        raise UserError(f"{error}, or leave it out with !NAME in files") from error
    if params.rate is not None and params.rate > found.rate * (1 + video_timeline.SAME_RATE):
        raise UserError(
            f"{path}: rate {params.rate:g} in params/frames.yaml is above the {found.rate:.2f} frames a second of this "
            f"video; choose {found.rate:.2f} or less, or null for every frame"
        )
    return Planned(name, found, cut(found.times))


def _cut(params: VideoParams, times: np.ndarray) -> Cut:
    if len(times) < 2:
        return Cut((), 0.0, 0, len(times), False)
    return video_timeline.cut(times, params.rate, params.clip_frames, params.skip, params.limit)


def _clips(path: Path, safe: str, cut: Cut) -> Iterator[Clip]:
    for place, frames in enumerate(cut.clips):
        yield Clip(path, f"{FOLDER}/{safe}", _clip_name(safe, place), frames)


def _gaps(safe: str, cut: Cut) -> Iterator[Gap]:
    for hole in cut.gaps:
        yield Gap(_clip_name(safe, hole.clip), cut.clips[hole.clip][0].number, hole.after, hole.missing)


def _clip_name(safe: str, place: int) -> str:
    return f"{safe}_{place:04d}"


def _candidates(clips: Sequence[Clip], root: Path, safe: Mapping[str, str]) -> Sequence[Candidate]:
    """Clips as they can be named in lists: by themselves, or by the video's path with or without its ending."""
    named = []
    for clip in clips:
        video = clip.path.relative_to(root)
        named.append(Candidate(clip.name, video.as_posix(), (safe[video.as_posix()], video.with_suffix("").as_posix())))
    return named


def _file(clip: Clip, kept: Kept, ending: str) -> str:
    return f"{clip.folder}/{clip.name}_{kept.number:06d}.{ending}"


def _write(params: VideoParams, clips: Sequence[Clip], made: Path, pool: Workers, whole_videos: bool) -> None:
    """Write the frames of all clips.

    A process decodes all of a video up to its clip, but once only, as its clips come in order. So that processes do not
    decode the same, each gets whole videos where there are enough.
    """
    groups: dict[Path | str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.path if whole_videos else clip.name, []).append(clip)
    try:
        done = pool.map(partial(_write_clips, params, made), [*groups.values()])
        written = (name for names in done for name in names)
        for _ in track(written, total=len(clips), label="clips"):
            pass
    finally:
        _open.clear()


_open: list[Reader] = []  # the video that this process reads, if any


def _reader(path: Path) -> Reader:
    if not _open or _open[0].path != path:
        _open[:] = [Reader(path)]
    return _open[0]


def _write_clips(params: VideoParams, made: Path, clips: Sequence[Clip]) -> list[str]:
    """Write the frames of clips; returns their names."""
    for clip in clips:
        reader = _reader(clip.path)
        for kept in clip.frames:
            data = encode(resized(reader.frame(kept.index), params.height), params.format, params.quality)
            # The manifest will hold a checksum of each.
            with atomic(made / _file(clip, kept, params.format), durable=False) as stream:
                stream.write(data)
    return [clip.name for clip in clips]


def resized(pixels: np.ndarray, height: int | None) -> np.ndarray:
    """A frame, uint8 (H, W, 3), at this height, with its width rounded to a multiple of 8; None leaves it as it is."""
    if height is None:
        return pixels
    width = max(8, round(pixels.shape[1] * height / pixels.shape[0] / 8) * 8)
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = height * width < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def encode(pixels: np.ndarray, ending: str, quality: int) -> bytes:
    """A frame, uint8 (H, W, 3) BGR, as a PNG file, or as a JPEG file of this quality."""
    options = FAST_PNG if ending == "png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(f".{ending}", pixels, options)[1].tobytes()


def _notes(plans: Sequence[Planned], params: VideoParams) -> Iterator[str]:
    """One line for each fact that holds for some of the videos."""
    if params.rate is not None:
        offset = max(plan.cut.offset for plan in plans)
        yield (
            f"{params.rate:g} frames a second are kept, each the nearest to the regular time, at most "
            f"{1000 * offset:.0f} ms off; frame numbers count these"
        )
    steady = [video_timeline.is_steady(plan.scan.times) if len(plan.scan.times) > 1 else True for plan in plans]
    facts = [
        ("have no usable times; their rate in the header is trusted", [not plan.scan.timed for plan in plans]),
        (
            "have a variable frame rate"
            + ("; rate would keep their frames at one step" if params.rate is None else ""),
            [not one for one in steady],
        ),
        ("have holes, where a new clip begins", [plan.cut.holes > 0 for plan in plans]),
        ("have frames with no neighbour, which are left out", [plan.cut.left > 0 for plan in plans]),
        ("give no clip", [not plan.cut.clips for plan in plans]),
        ("end up to a second, or 1 %, before their header says", [plan.scan.short > 0 for plan in plans]),
        ("have pixels that are not square, and stay so", [not plan.scan.square for plan in plans]),
        ("are enlarged", [params.height is not None and params.height > plan.scan.shape[0] for plan in plans]),
    ]
    for what, holds in facts:
        named = [plan.name for plan, one in zip(plans, holds, strict=True) if one]
        if named:
            yield f"{len(named)} of {len(plans)} videos {what}: {first_names(named)}"
