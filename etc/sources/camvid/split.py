"""A split for experiments with video: train, dev and test from the one-a-second stills and the 15 Hz clip only."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from etc.core.errors import UserError, many
from etc.sources.camvid.params import CamVidParams
from etc.sources.camvid.stills import FRAMES_PER_SECOND, Still, by_sequence, runs


def split_for_video(stills: Sequence[Still], params: CamVidParams) -> tuple[list[Still], list[str]]:
    """Assign every frame to a split.

    The 15 Hz clip is cut into training video, dev and test, with a gap between. Its training video keeps its labels, so
    that pseudo-labels can be measured against them, but training may not use them. The other training frames of the
    published split stay training frames with labels, unless they are as near to dev or test as the gap. Published dev
    and test frames that are one second apart are left out: without a neighbour they say nothing about consistency.

    Args:
        stills: in the published split.
        params: shares, gap and neighbours.

    Returns:
        The frames that are used, and notes.

    Raises:
        UserError: there is no 15 Hz clip, or a part of it is too short.
    """
    video = [
        still for group in by_sequence(stills).values() for run in _runs_of(group) if len(run) > 1 for still in run
    ]
    if not video:
        raise UserError(
            "split: video needs frames that follow each other closely (0016E5_07959 to 08159 in val), but there are "
            "none in root; complete it, or set split: published"
        )
    parts = _parts(len(video), params)
    used = [
        replace(video[index], split=split, annotated=False)
        for split, (first, last) in parts.items()
        for index in range(first, last)
    ]
    step = Counter(later.number - one.number for one, later in zip(video, video[1:], strict=False)).most_common(1)[0][0]
    reach = params.gap * step + 2 * params.neighbours
    held = [still for still in used if still.split != "train"]
    inside = {still.name for still in video}
    one_a_second = [still for still in stills if still.name not in inside]
    training = [still for still in one_a_second if still.split == "train"]
    near = {still.name for still in training if any(_distance(still, other) <= reach for other in held)}
    used += [still for still in training if still.name not in near]
    notes = [
        "split video: 15 Hz clip of "
        f"{len(video)} frames: "
        + ", ".join(f"{split} {video[first].name} to {video[last - 1].name}" for split, (first, last) in parts.items())
    ]
    if near:
        notes.append(f"split video: {len(near)} training stills within {reach} frames of dev or test are left out")
    if others := len(one_a_second) - len(training):
        notes.append(f"split video: {others} published dev and test stills without neighbours are left out")
    return used, notes


def held_out(stills: Sequence[Still], sequences: Sequence[str]) -> list[Still]:
    """Make test frames of the training frames of whole recordings, so that test has streets that training never sees.

    Args:
        stills: in the published split.
        sequences: recordings, e.g. 0001TP.

    Raises:
        UserError: a recording has no training frame, or none but these has.
    """
    known = sorted({still.sequence for still in stills if still.split == "train"})
    for name in sequences:
        if name not in known:
            raise UserError(
                f"test_sequences: no training frame of a recording {name!r}; name some of {', '.join(known)}"
            )
    if sequences and set(sequences) == set(known):
        raise UserError(f"test_sequences: names every recording of train ({', '.join(known)}); leave one to train on")
    return [
        replace(still, split="test", annotated=False)
        if still.split == "train" and still.sequence in sequences
        else still
        for still in stills
    ]


def nearness(stills: Sequence[Still]) -> list[str]:
    """A note for every recording that is in several splits: measurements there are not independent of training."""
    notes = []
    for sequence, group in by_sequence(stills).items():
        train = [still.number for still in group if still.split == "train"]
        for split in ("dev", "test"):
            held = [still.number for still in group if still.split == split]
            if not train or not held:
                continue
            nearest = min(abs(a - b) for a in train for b in held)
            notes.append(
                f"{sequence}: train ({train[0]} to {train[-1]}) and {split} ({held[0]} to {held[-1]}) come from one "
                f"recording, {many(nearest, 'frame')} ({nearest / FRAMES_PER_SECOND:.1f} s) apart at the nearest: "
                f"{split} shows places very close to those in training"
            )
    return notes


def _runs_of(group: Sequence[Still]) -> list[list[Still]]:
    named = {still.number: still for still in group}
    return [[named[number] for number in run] for run in runs(sorted(named))]


def _parts(count: int, params: CamVidParams) -> dict[str, tuple[int, int]]:
    """First frame and the one after the last, of each part of a clip of ``count`` frames."""
    lengths = {"train": int(count * params.train_share), "dev": int(count * params.dev_share)}
    asked = {"train": params.train_share, "dev": params.dev_share}
    parts, start = {}, 0
    for split, length in lengths.items():
        if asked[split]:
            parts[split] = (start, start + length)
            start += length + params.gap
    parts["test"] = (start, count)
    for split, (first, last) in parts.items():
        if last - first < 2:
            raise UserError(
                f"split: video leaves {max(0, last - first)} of the {count} frames of the 15 Hz clip for {split}, but "
                "a pair needs 2; change train_share, dev_share or gap"
            )
    return parts


def _distance(one: Still, other: Still) -> float:
    return abs(one.number - other.number) if one.sequence == other.sequence else float("inf")
