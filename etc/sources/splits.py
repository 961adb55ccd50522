"""Which clips go to which split, by lists or by shares."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from etc.core.errors import UserError, many
from etc.core.params_file import FromList, Params
from etc.dataset.manifest import SPLITS
from etc.sources.clip_names import first_names


def _share_or_clips(value: Any) -> Any:
    """Let a share or a list of texts through, so that there is one message, not one for each type."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value <= 1:
            raise ValueError("a share must be from 0 to 1")
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    raise ValueError("give a share from 0 to 1, or a list of clip names such as ['walk', 'city_*']")


Part = Annotated[float | tuple[str, ...], BeforeValidator(_share_or_clips)]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is named twice; name it once")
    return names


# Recordings or cities that go to another split than the rest.
HeldOut = Annotated[tuple[str, ...], FromList, AfterValidator(_each_once)]


class Splits(Params):
    """Which clips make up each split: shares in all three, or lists of clips in all three; one left out is empty."""

    train: Part | None = Field(None, description="share of the recordings, 0 to 1, or list of clips; *, ? and [] match")
    dev: Part | None = Field(None, description="the same, to tune on")
    test: Part | None = Field(None, description="the same, to report on")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="which recordings go where, with shares")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        parts = self._parts()
        if not parts:
            raise ValueError("no split is given; give shares such as train: 0.8, dev: 0.1, test: 0.1")
        if len({isinstance(part, tuple) for part in parts.values()}) > 1:
            raise ValueError("shares and lists of clips are mixed; give one kind in train, dev and test")
        total = sum(self.shares.values())
        if self.shares and abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of train, dev and test add up to {total:g}; make it 1")
        if not self.shares and not any(self.clips.values()):
            raise ValueError("the lists of train, dev and test are empty; name clips")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Split to its share, those above 0; empty with lists."""
        return {split: float(part) for split, part in self._parts().items() if not isinstance(part, tuple) and part}

    @property
    def clips(self) -> dict[str, tuple[str, ...]]:
        """Split to its clip names and patterns; empty with shares."""
        return {split: part for split, part in self._parts().items() if isinstance(part, tuple)}

    def _parts(self) -> dict[str, float | tuple[str, ...]]:
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: part for split, part in parts.items() if part is not None}


EIGHT_ONE_ONE = Splits(train=0.8, dev=0.1, test=0.1)


@dataclass(frozen=True)
class Candidate:
    """A clip to be assigned to a split.

    Attributes:
        clip: its name.
        recording: that it was cut from; clips of one recording look alike.
        names: other names that the user may give it in a list.
    """

    clip: str
    recording: str
    names: tuple[str, ...] = ()


def deal(clips: Sequence[Candidate], splits: Splits) -> tuple[dict[str, str], list[str]]:
    """The split of each clip, and what the user should know about it.

    With lists, a clip that is in none is left out. With shares, whole recordings are dealt, at least one to each share;
    where there are fewer recordings than shares, their clips are dealt in order of time instead.

    Args:
        clips: in order of recording, then time.
        splits: the parameters.

    Raises:
        UserError: a name in a list fits no clip, a clip is in two lists, or no clip has a split.
    """
    chosen, notes = _shared(clips, splits) if splits.shares else _listed(clips, splits.clips)
    if not chosen:
        raise UserError("split in params/frames.yaml: no clip is in a split; name clips, or give shares")
    absent = [split for split in SPLITS if split not in chosen.values()]
    if absent:
        notes.append(f"no clip is in split {' and '.join(absent)}")
    return chosen, notes


def counts(number: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Parts of ``number`` in proportion to the shares, by largest remainders, none of them 0 if possible.

    Args:
        number: of things to deal, >= 0.
        shares: split to share, > 0, adding up to 1; among equals the first comes first.
    """
    exact = {split: number * share for split, share in shares.items()}
    # A share such as 0.7 is not exact: 10 x 0.7 must be 7, whatever its last bit.
    parts = {split: int(value + 1e-9) for split, value in exact.items()}
    by_remainder = sorted(parts, key=lambda split: round(parts[split] - exact[split], 9))
    for split in by_remainder[: number - sum(parts.values())]:
        parts[split] += 1
    for split in sorted(parts, key=lambda split: -shares[split]):
        largest = max(parts, key=parts.__getitem__)
        if parts[split] == 0 and parts[largest] > 1:
            parts[largest] -= 1
            parts[split] = 1
    return parts


def _shared(clips: Sequence[Candidate], splits: Splits) -> tuple[dict[str, str], list[str]]:
    shares = splits.shares
    recordings = sorted({one.recording for one in clips})
    if len(recordings) >= len(shares):
        recordings.sort(key=lambda name: (_rank(splits.seed, name), name))
        split_of = _in_order(recordings, shares)
        return {one.clip: split_of[one.recording] for one in clips}, []
    split_of = _in_order([one.clip for one in clips], shares)
    if len(shares) == 1 or len(clips) < 2:
        return split_of, []
    note = (
        f"fewer recordings ({len(recordings)}) than splits with a share ({len(shares)}): the {len(clips)} clips are "
        "dealt in order of time, so that splits show the same places; the seed has no effect"
    )
    return split_of, [note]


def _in_order(names: Sequence[str], shares: Mapping[str, float]) -> dict[str, str]:
    order = [split for split, count in counts(len(names), shares).items() for _ in range(count)]
    return dict(zip(names, order, strict=True))


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _listed(clips: Sequence[Candidate], lists: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, str], list[str]]:
    chosen: dict[str, str] = {}
    for split, patterns in lists.items():
        for pattern in patterns:
            fitting = [one for one in clips if _fits(one, pattern)]
            if not fitting:
                known = first_names(one.clip for one in clips)
                raise UserError(f"split.{split}: no clip is called {pattern!r}; there are {len(clips)}: {known}")
            for one in fitting:
                if chosen.setdefault(one.clip, split) != split:
                    raise UserError(
                        f"split.{split}: {pattern!r} matches clip {one.clip!r}, which split.{chosen[one.clip]} "
                        "contains too; list it in one split only"
                    )
    left = [one.clip for one in clips if one.clip not in chosen]
    are = many(len(left), "clip is", "clips are")
    return chosen, [f"{are} in no split and left out: {first_names(left)}"] if left else []


def _fits(clip: Candidate, pattern: str) -> bool:
    # A name may contain a bracket, so it is also compared literally.
    names = (clip.clip, clip.recording, *clip.names)
    return pattern in names or any(fnmatchcase(name, pattern) for name in names)
