"""Training samples: which frames they consist of and how they are changed, as a pure function of seed and number.

No state is kept from one sample to the next, so the number of loader processes does not matter and a training resumes
at any step without replaying the earlier ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from etc.core.errors import UserError, many
from etc.params.training import AugmentParams
from etc.training.augment import Sample, Window, apply, draw
from etc.training.device_augment import Cut

# First word of the seeds of the shuffles; those of the samples begin with 0.
_SAMPLE, _SHUFFLE = 0, 1

# Reads the window of a pair of one clip, as ``etc.flow.store.StoredFlow.read`` does.
ReadFlow = Callable[[int, int, Window], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Labelled:
    """A frame with a label.

    Attributes:
        clip: name of the clip.
        frame: number of the frame.
        label: reads its label, uint8 (H, W) train ids, 255 = ignore.
    """

    clip: str
    frame: int
    label: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Clips:
    """The frames to draw from.

    Attributes:
        images: per clip and frame number, a function that reads the frame, uint8 (H, W, 3) RGB.
        annotated: frames with a label made by hand.
        pseudo: frames with a pseudo-label.
        flow: clip name to what reads its flow; None when no loss needs it.
    """

    images: Mapping[str, Mapping[int, Callable[[], np.ndarray]]]
    annotated: Sequence[Labelled]
    pseudo: Sequence[Labelled] = ()
    flow: Callable[[str], ReadFlow] | None = None


class Samples(Dataset):
    """Sample number n of a training, n = step * batch + place in the batch.

    The same number gives the same labelled frame, partner and crop regardless of the losses, so that all schemes with
    the same seed see the same data.

    A frame that is alone in its clip, as in data sampled once a second, stands in for its neighbours, and none of its
    flow is visible: the motion loss leaves it out, the other terms see a scene without motion.

    Args:
        clips: the frames.
        augment: random changes.
        seed: seed of the run.
        batch: samples a step.
        frames: K, 1 to 3.
        reach: the partner is at most this many places away in the clip.
        pseudo_share: share of the samples that are pseudo-labelled, 0..1.
        cache_mb: memory for decoded frames and labels.
        change: what is done with a sample that was read: its change, or ``Cut``, which leaves it to the device.

    Raises:
        UserError: there is nothing to draw from, or no frame has a neighbour and the losses look at one.
    """

    def __init__(
        self,
        clips: Clips,
        augment: AugmentParams,
        seed: int,
        batch: int,
        frames: int = 1,
        reach: int = 3,
        pseudo_share: float = 0.0,
        cache_mb: int = 0,
        change: Callable[..., Sample | Cut] = apply,
    ) -> None:
        self.clips, self.augment, self.seed, self.batch, self.frames, self.reach = (
            clips, augment, seed, batch, frames, reach,
        )  # fmt: skip
        self.pseudo_share, self._change = pseudo_share, change
        self._cache = _Cache(cache_mb * 2**20)
        self._flows: dict[str, ReadFlow] = {}
        self._shuffles: dict[int, tuple[int, np.ndarray]] = {}
        self._check()

    @property
    def note(self) -> str:
        """What a user should know about the frames; usually empty."""
        if not self.alone:
            return ""
        frames = many(self.alone, "labelled frame has", "labelled frames have")
        return f"{frames} no neighbour: the motion loss leaves {'it' if self.alone == 1 else 'them'} out"

    def __getitem__(self, number: int) -> dict[str, Any]:
        step, place = divmod(number, self.batch)
        rng = np.random.default_rng([_SAMPLE, self.seed, step, place])
        chosen = self._choose(number)
        partner_draw = rng.random()
        label = self._cache.get(chosen, chosen.label)
        augmentation = draw(rng, label.shape, self.augment)
        window = augmentation.window
        numbers = self._neighbours(chosen, partner_draw)
        flow, visible = None, None
        if self.clips.flow is not None and self.frames > 1:
            alone = numbers[0] == numbers[1]
            flow, visible = _no_flow(window) if alone else self._flow(chosen.clip)(*numbers[:2], window)
        readers = self.clips.images[chosen.clip]
        images = [self._cache.get((chosen.clip, frame), readers[frame])[window] for frame in numbers]
        sample = self._change(augmentation, images, label[window], flow, visible)
        name = f"{chosen.clip}:{'/'.join(map(str, numbers))}"
        return {"sample": sample, "order": np.argsort(numbers, kind="stable"), "name": name}

    def _choose(self, number: int) -> Labelled:
        """Every frame once in random order, then all again; the two pools alternate at a steady rate."""
        pseudo_before = int(np.floor(number * self.pseudo_share))
        if int(np.floor((number + 1) * self.pseudo_share)) > pseudo_before:
            return self._shuffled(1, self.clips.pseudo, pseudo_before)
        return self._shuffled(0, self.clips.annotated, number - pseudo_before)

    def _shuffled(self, pool: int, items: Sequence[Labelled], number: int) -> Labelled:
        epoch, position = divmod(number, len(items))
        if self._shuffles.get(pool, (-1, None))[0] != epoch:
            order = np.random.default_rng([_SHUFFLE, self.seed, pool, epoch]).permutation(len(items))
            self._shuffles[pool] = (epoch, order)
        return items[self._shuffles[pool][1][position]]

    def _neighbours(self, chosen: Labelled, partner_draw: float) -> list[int]:
        """Numbers of the labelled frame, of its partner k places on, and of the frame nearest to k places back."""
        if self.frames == 1 or len(self.clips.images[chosen.clip]) == 1:
            return [chosen.frame] * self.frames
        existing = sorted(self.clips.images[chosen.clip])
        centre = existing.index(chosen.frame)
        candidates = [place for place in range(centre - self.reach, centre + self.reach + 1) if place != centre]
        candidates = [place for place in candidates if 0 <= place < len(existing)]
        partner = candidates[int(partner_draw * len(candidates))]
        places = [centre, partner]
        if self.frames == 3:
            # At the ends of a clip there is no frame on the other side; the three are then still distinct, unless the
            # clip has only two.
            others = [place for place in range(len(existing)) if place not in places]
            places.append(min(others, key=lambda place: abs(place - (2 * centre - partner)), default=centre))
        return [existing[place] for place in places]

    def _flow(self, clip: str) -> ReadFlow:
        if clip not in self._flows:
            self._flows[clip] = self.clips.flow(clip)
        return self._flows[clip]

    def _check(self) -> None:
        if self.pseudo_share < 1 and not self.clips.annotated:
            raise UserError(
                "no annotated frame in the training split: nothing to learn from; annotate some, or train on "
                "pseudo-labels alone ('sampling.pseudo_share': 1), and give labeller and start a 'checkpoint'"
            )
        if self.pseudo_share > 0 and not self.clips.pseudo:
            raise UserError(
                f"no pseudo-labels, but 'sampling.pseudo_share' is {self.pseudo_share}: make them, or set it to 0"
            )
        used = [*self.clips.annotated] * (self.pseudo_share < 1) + [*self.clips.pseudo] * (self.pseudo_share > 0)
        self.alone = sum(len(self.clips.images[item.clip]) == 1 for item in used) if self.frames > 1 else 0
        if self.alone == len(used):
            share = f", raise 'sampling.pseudo_share' ({self.pseudo_share}) for pseudo-labelled ones"
            raise UserError(
                f"none of the {len(used)} labelled frames has a neighbour in its clip, but the losses of this training "
                f"look at {self.frames} frames; give frames of a video{share * (self.pseudo_share < 1)}, or train "
                "without the terms tl, pf, mf"
            )


def _no_flow(window: Window) -> tuple[np.ndarray, np.ndarray]:
    size = tuple(part.stop - part.start for part in window)
    return np.zeros((*size, 2), np.float32), np.zeros(size, bool)


class _Cache:
    """Keeps arrays up to a total number of bytes; the rest are read each time."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.kept: dict[Any, np.ndarray] = {}

    def get(self, key: Any, read: Callable[[], np.ndarray]) -> np.ndarray:
        if key in self.kept:
            return self.kept[key]
        array = read()
        if array.nbytes <= self.left:
            self.left -= array.nbytes
            self.kept[key] = array
        return array
