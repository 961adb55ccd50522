"""Clips for the benchmark of the training step, at the embedded size and at that of Cityscapes, with their flow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from etc.flow.methods import Dis
from etc.flow.store import FlowWriter, StoredFlow
from etc.flow.visibility import forward_backward_visible
from etc.params import frames, student
from etc.sources.street.street import generate_clip
from etc.stages.flow import frame_pairs
from etc.training.augment import Window
from etc.training.data import Clips, Labelled, ReadFlow

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
# Frames of Cityscapes' size, the paper's crop (769) as a multiple of 8, the published width.
LARGE_FRAME, LARGE_CROP, LARGE_BATCH, LARGE_WIDTH = (1024, 2048), (768, 768), 2, 64


@dataclass(frozen=True)
class OnlineFlow:
    """Flow of a clip that is computed when it is read."""

    images: dict[int, Callable[[], np.ndarray]]
    method: Method

    def __call__(self, source: int, target: int, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """F_{source->target}, float32 (h, w, 2), and where it is visible, bool (h, w), in a window of the frame."""
        one, other = self.images[source](), self.images[target]()
        flow, back = self.method(one, other), self.method(other, one)
        return flow[window], forward_backward_visible(flow, back)[window]


@dataclass(frozen=True)
class Scale:
    """Frames and networks of one size."""

    clips: Clips
    params: student.StudentParams
    width: int
    teacher_width: int

    def clips_with(self, method: Method | None) -> Clips:
        """The clips with their flow from the cache, or with a method that computes it when it is read."""
        return replace(self.clips, flow=partial(self._online, method)) if method else self.clips

    def _online(self, method: Method, clip: str) -> OnlineFlow:
        return OnlineFlow(self.clips.images[clip], method)


def street(folder: Path, count: int = 3) -> Clips:
    """A few rendered training clips, in memory, with their flow in files as the stage 'flow' writes them."""
    settings = frames.load("street")
    images, labelled = {}, []
    for number in range(count):
        clip = generate_clip(settings, "train", number)
        images[clip.name] = {frame: partial(np.copy, picture) for frame, picture in enumerate(clip.images)}
        middle = len(clip.images) // 2
        labelled.append(Labelled(clip.name, middle, partial(np.copy, clip.labels[middle])))
    return cached(folder / "small", images, labelled, settings.max_offset)


def enlarged(scale: Scale, folder: Path) -> Scale:
    """The first three frames of one clip at the size of Cityscapes, and the paper's crop, batch and width."""
    name, item = next((item.clip, item) for item in scale.clips.annotated)
    size = LARGE_FRAME[::-1]
    numbers = [item.frame + offset for offset in (-1, 0, 1)]
    pictures = {number: cv2.resize(scale.clips.images[name][number](), size) for number in numbers}
    images = {name: {number: partial(np.copy, picture) for number, picture in pictures.items()}}
    label = cv2.resize(item.label(), size, interpolation=cv2.INTER_NEAREST)
    clips = cached(folder / "large", images, [Labelled(name, item.frame, partial(np.copy, label))], 1)
    training = scale.params.training
    augment = training.augment.model_copy(update={"crop": LARGE_CROP, "scale": (0.5, 2.0)})
    params = scale.params.model_copy(
        update={
            "training": training.model_copy(update={"augment": augment, "batch": LARGE_BATCH}),
            "sampling": scale.params.sampling.model_copy(update={"partner_reach": 1}),
        }
    )
    return Scale(clips, params, LARGE_WIDTH, LARGE_WIDTH)


def cached(
    folder: Path, images: dict[str, dict[int, Callable[[], np.ndarray]]], labelled: list[Labelled], offset: int
) -> Clips:
    """Clips whose flow is in files: DIS medium both ways, forward-backward visibility."""
    for clip, readers in images.items():
        pictures = {number: read() for number, read in readers.items()}
        pairs, method = frame_pairs(list(pictures), offset), Dis("medium")
        flows = {pair: method(pictures[pair[0]], pictures[pair[1]]) for pair in pairs}
        shape = next(iter(pictures.values())).shape[:2]
        with FlowWriter(folder / f"{clip}.arrow", clip, shape) as writer:
            for source, target in pairs:
                flow = flows[source, target]
                writer.write(source, target, flow, forward_backward_visible(flow, flows[target, source]))
    return Clips(images, labelled, flow=partial(_open_flow, folder))


def _open_flow(folder: Path, clip: str) -> ReadFlow:
    return StoredFlow(folder / f"{clip}.arrow").read
