"""Temporal consistency of clips, pair by pair: two frames in memory, however many clips there are.

The pipeline's evaluate stage and ``etc tc`` are both built on this; docs/tc.md has an example.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from etc.core.errors import UserError
from etc.evaluation.flips import FlipCounts, change_map, flip_counts
from etc.evaluation.iou import IouCounts, joint_histogram
from etc.evaluation.protocols import protocol_named, seen_from
from etc.evaluation.tc import DEFAULT_PROTOCOL
from etc.evaluation.warp_error import WarpError, warp_error
from etc.flow.store import FlowReader

Load = Callable[[int], np.ndarray]


def _prediction(frame: int) -> str:
    return f"prediction {frame}"


@dataclass(frozen=True)
class Clip:
    """One clip to be judged.

    Attributes:
        name: in tables and messages.
        pairs: (source, target) frame numbers in order of time, e.g. [(0, 1), (1, 2)].
        prediction: frame number to class ids, uint8 (H, W), 0..C-1, 255 = not counted.
        flow: F_{source->target} of each pair.
        probability: frame number to probabilities, float (C, H, W), for the warp error; None leaves it out.
        describe: frame number to the name of its prediction in messages, e.g. its file.
    """

    name: str
    pairs: Sequence[tuple[int, int]]
    prediction: Load
    flow: FlowReader
    probability: Load | None = None
    describe: Callable[[int], str] = _prediction


@dataclass(frozen=True)
class PairResult:
    """Counts of one pair.

    Attributes:
        clip: clip name.
        source, target: frame numbers.
        counts: by protocol; empty when the pair was skipped.
        flips: of this pair and the one before it; None when they share no frame or flips were not requested.
        warp_error: None when the clip has no probabilities.
        skipped: why the pair was skipped, one line; empty when it was not.
    """

    clip: str
    source: int
    target: int
    counts: Mapping[str, IouCounts] = field(default_factory=dict)
    flips: FlipCounts | None = None
    warp_error: WarpError | None = None
    skipped: str = ""


class ClipJudge:
    """Judges the pairs of one clip in order and keeps what the next pair needs again.

    Args:
        clip: the clip.
        classes: C.
        protocols: names of the protocols to count with.
        flips: count flips too. They use what is visible when one of the protocols does.
        skip_bad: a pair with bad input becomes a skipped result; otherwise it raises ``UserError``.
    """

    def __init__(
        self,
        clip: Clip,
        classes: int,
        protocols: Sequence[str] = (DEFAULT_PROTOCOL,),
        flips: bool = False,
        skip_bad: bool = False,
    ):
        self._clip, self._classes = clip, classes
        self._protocols = [protocol_named(name) for name in protocols]
        self._flips, self._skip_bad = flips, skip_bad
        self._mask = any(one.needs_visibility for one in self._protocols)
        self._ids: dict[int, np.ndarray] = {}
        self._probabilities: dict[int, np.ndarray] = {}
        self._before: tuple | None = None

    def __call__(self, source: int, target: int) -> PairResult:
        """Judge one pair.

        Raises:
            UserError: bad input, unless it is skipped; the line names the clip, the frames and, where it is known, the
                file.
        """
        try:
            return self._judge(source, target)
        except UserError as error:
            self._before = None
            if not self._skip_bad:
                raise
            return PairResult(self._clip.name, source, target, skipped=str(error))

    def _judge(self, source: int, target: int) -> PairResult:
        clip = self._clip
        self._ids = _two(self._ids, clip.prediction, source, target)
        now, after = self._ids[source], self._ids[target]
        if now.shape != after.shape:
            raise UserError(
                f"{clip.describe(target)}: {_size(after)} pixels, but {clip.describe(source)} of the same clip has "
                f"{_size(now)}"
            )
        flow, visible = clip.flow.read(source, target)
        if flow.shape[:2] != now.shape:
            raise UserError(
                f"{clip.flow.describe(source, target)}: {_size(flow)} pixels, but {clip.describe(source)} has "
                f"{_size(now)}"
            )
        with _named(f"clip {clip.name}, frames {source} and {target}"):
            seen = {one.name: one.warp(after, flow, visible) for one in self._protocols}
            counts = {
                one.name: one.count(joint_histogram(now, seen[one.name]), self._classes) for one in self._protocols
            }
            mask = visible if self._mask else None
            error = self._warp_error(source, target, flow, mask)
            flips = self._count_flips(source, target, seen, flow, mask)
        return PairResult(clip.name, source, target, counts, flips, error)

    def _count_flips(
        self, source: int, target: int, seen: dict[str, np.ndarray], flow: np.ndarray, mask: np.ndarray | None
    ) -> FlipCounts | None:
        if not self._flips:
            return None
        # These two protocols warp just like this.
        nearest = seen.get("corrected" if mask is None else "occlusion_aware")
        if nearest is None:
            nearest = seen_from(self._ids[target], flow, mask)
        changes = change_map(self._ids[source], nearest)
        before, self._before = self._before, (target, changes, flow, mask)
        if before is None or before[0] != source:
            return None
        return flip_counts(before[1], changes, *before[2:])

    def _warp_error(self, source: int, target: int, flow: np.ndarray, mask: np.ndarray | None) -> WarpError | None:
        if self._clip.probability is None:
            return None
        self._probabilities = _two(self._probabilities, self._clip.probability, source, target)
        now, after = self._probabilities[source], self._probabilities[target]
        if now.shape[1:] != flow.shape[:2]:
            raise UserError(f"the probabilities {now.shape} and the flow {flow.shape} differ in size")
        return warp_error(now, after, flow, mask)


def evaluate_pairs(
    clips: Iterable[Clip],
    classes: int,
    protocols: Sequence[str] = (DEFAULT_PROTOCOL,),
    flips: bool = False,
    skip_bad: bool = False,
) -> Iterator[PairResult]:
    """Judge every pair of every clip, one pair at a time.

    Args:
        clips: the clips; each is released before the next one is requested.
        classes: C, the number of classes.
        protocols: names from ``etc.evaluation.protocols.PROTOCOLS``.
        flips: also count flips (see ``etc.evaluation.flips``).
        skip_bad: yield a pair with bad input as skipped, with the reason, instead of raising.

    Yields:
        One result per pair, in the order given.

    Raises:
        UserError: unknown protocol or, unless skipped, bad input.
    """
    for clip in clips:
        judge = ClipJudge(clip, classes, protocols, flips, skip_bad)
        for source, target in clip.pairs:
            yield judge(source, target)


def _two(held: dict[int, np.ndarray], load: Load, source: int, target: int) -> dict[int, np.ndarray]:
    """The arrays of two frames; those kept from the previous pair are not loaded again."""
    return {number: held[number] if number in held else load(number) for number in (source, target)}


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
