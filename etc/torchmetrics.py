"""The metrics of :mod:`etc.metrics` as those of torchmetrics, which add up over the processes of a job.

Needs the extra ``torchmetrics``. They take frames in order and remember the last one, so ``forward`` (calling the
metric) updates and returns nothing, and each process must see whole clips.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from etc import metrics
from etc.evaluation.iou import IouCounts, mean_ratio
from etc.evaluation.protocols import protocol_named
from etc.evaluation.tc import DEFAULT_PROTOCOL
from etc.measure.vc import released_video_consistency, video_consistency


class _Wrapped(Metric):
    """A metric of ``etc.metrics`` whose counts are states here."""

    full_state_update = False

    def __init__(self, metric: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._metric = metric

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Take the next frame; a frame alone has no value."""
        self.update(*args, **kwargs)

    def new_clip(self) -> None:
        """The next frame does not follow the last one."""
        self._metric.new_clip()

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._metric.reset()

    def _state(self, *names: str, zeros: Tensor) -> None:
        for name in names:
            self.add_state(name, zeros.clone(), dist_reduce_fx="sum")

    def _count(self, **counts: Any) -> None:
        for name, value in counts.items():
            state = getattr(self, name)
            setattr(self, name, state + torch.as_tensor(value, dtype=state.dtype, device=state.device))


class TemporalConsistency(_Wrapped):
    """See :class:`etc.metrics.TemporalConsistency`; ``compute`` gives tensors.

    Args:
        classes, flow, protocol: as there.
        kwargs: of ``torchmetrics.Metric``.
    """

    higher_is_better = True

    def __init__(self, classes: int, flow: Any = "dis", protocol: str = DEFAULT_PROTOCOL, **kwargs: Any) -> None:
        super().__init__(metrics.TemporalConsistency(classes, flow, protocol), **kwargs)
        # Only some protocols count the pixels of the source.
        of_classes = ["intersection", "union"] + ["source_pixels"] * (protocol_named(protocol).mean is not mean_ratio)
        self._state(*of_classes, zeros=torch.zeros(classes, dtype=torch.int64))
        self._state("same", "counted", zeros=torch.zeros((), dtype=torch.int64))

    def update(self, prediction: Any, frame: Any = None, flow: Any = None, visible: Any = None) -> None:
        """Take the next frame of a clip."""
        self._metric.counts = None
        self._metric.update(prediction, frame, flow, visible)
        if self._metric.counts is not None:
            self._count(**{name: one for name, one in self._metric.counts._asdict().items() if one is not None})

    def compute(self) -> dict[str, Tensor]:
        """``tc``, ``agreement`` and ``per_class`` over all clips of all processes, shares from 0 to 1."""
        states = {name: getattr(self, name).cpu().numpy() for name in self._defaults}
        self._metric.counts = IouCounts(**states) if self.counted else None
        return {name: torch.as_tensor(np.asarray(value)) for name, value in self._metric.compute().items()}


class FlipRate(_Wrapped):
    """See :class:`etc.metrics.FlipRate`; ``compute`` gives a tensor.

    Args:
        flow: as there.
        kwargs: of ``torchmetrics.Metric``.
    """

    higher_is_better = False

    def __init__(self, flow: Any = "dis", **kwargs: Any) -> None:
        super().__init__(metrics.FlipRate(flow), **kwargs)
        self._state("flips", "counted", zeros=torch.zeros((), dtype=torch.int64))

    def update(self, prediction: Any, frame: Any = None, flow: Any = None) -> None:
        """Take the next frame of a clip."""
        before = self._metric.counts
        self._metric.update(prediction, frame, flow)
        after = self._metric.counts
        self._count(flips=after.flips - before.flips, counted=after.counted - before.counted)

    def compute(self) -> Tensor:
        """The share over all clips of all processes, 0 to 1; NaN before the first three frames."""
        return self.flips.double() / self.counted


class VideoConsistency(_Wrapped):
    """See :class:`etc.metrics.VideoConsistency`; ``compute`` gives a tensor, and ends the video.

    Args:
        length, protocol: as there.
        kwargs: of ``torchmetrics.Metric``.
    """

    higher_is_better = True

    def __init__(self, length: int = 8, protocol: str = "paper", **kwargs: Any) -> None:
        super().__init__(metrics.VideoConsistency(length, protocol), **kwargs)
        self._state("shares", zeros=torch.zeros((), dtype=torch.float64))
        self._state("averaged", zeros=torch.zeros((), dtype=torch.int64))

    def update(self, prediction: Any, truth: Any) -> None:
        """Take the next frame of a video."""
        self._metric.update(prediction, truth)

    def new_clip(self) -> None:
        """The next frame begins another video."""
        super().new_clip()
        for video in self._metric.videos:
            if self._metric.protocol == "paper":
                share, number = video_consistency(video), 1
            else:
                share, number = released_video_consistency([video]), int((video.held > 0).sum())
            if not math.isnan(share):
                self._count(shares=share * number, averaged=number)
        self._metric.videos = []

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """End the video before the states of all processes are added up; ``compute`` calls this in each."""
        self.new_clip()
        super().sync(*args, **kwargs)

    def compute(self) -> Tensor:
        """Mean over the videos of all processes, 0 to 1; NaN when no window is whole."""
        return self.shares / self.averaged
