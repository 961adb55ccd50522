"""Temporal consistency, flip rate and video consistency for an evaluation loop of your own, frame by frame.

Each class follows the interface of torchmetrics: ``update`` with the next frame, ``compute``, ``reset``, and ``merge``
to join what several processes have counted. Arrays may be NumPy's or torch's. torch itself is not needed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE
from etc.evaluation.flips import FlipCounts, change_map, flip_counts
from etc.evaluation.iou import IouCounts, joint_histogram
from etc.evaluation.protocols import protocol_named, seen_from
from etc.evaluation.tc import DEFAULT_PROTOCOL, class_consistency, pixel_agreement, pool, temporal_consistency
from etc.flow import methods
from etc.measure.vc import WindowCounter, WindowCounts, mean_video_consistency, released_video_consistency
from etc.workers import single_thread

Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]
_VC = {"paper": mean_video_consistency, "vspw_released": released_video_consistency}


class _Pairs:
    """The frame before, and the flow from it to the next one."""

    def __init__(self, flow: str | Estimate) -> None:
        self._estimate = methods.build(flow) if isinstance(flow, str) else flow
        self.new_clip()

    def new_clip(self) -> None:
        """The next frame does not follow the last one."""
        self._before: np.ndarray | None = None
        self._frame: np.ndarray | None = None

    def _advance(self, now: np.ndarray, frame: Any, flow: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Prediction before, prediction now, F_{before->now}; None for the first frame of a clip."""
        picture = None if frame is None else _picture(frame, now.shape)
        before, earlier = self._before, self._frame
        if before is not None:
            if now.shape != before.shape:
                raise UserError(f"a prediction of {now.shape} follows one of {before.shape}; call new_clip() first")
            if flow is not None:
                flow = _array(flow).astype(np.float32, copy=False)
                if flow.ndim == 3 and flow.shape[0] == 2 and flow.shape[2] != 2:
                    flow = np.moveaxis(flow, 0, -1)
            elif earlier is None or picture is None:
                raise UserError("give the frame with each prediction, from which the flow is computed, or the flow")
            else:
                # As `etc tc` does: with more threads OpenCV's flow differs.
                with single_thread():
                    flow = self._estimate(earlier, picture)
        self._before, self._frame = now, picture
        return None if before is None else (before, now, np.ascontiguousarray(flow))


class TemporalConsistency(_Pairs):
    """TC (Liu et al., ECCV 2020): mean IoU of each prediction and the next one, warped back along the flow.

    Intersections and unions are added up over all pairs of all clips, then divided, then averaged over the classes:
    the figure of ``etc tc``. docs/metrics.md defines the protocols.

    Args:
        classes: C.
        flow: a method that computes flow from two frames, ``dis`` or ``farneback``, or a function of two images, uint8
            (H, W, 3) RGB, to F_{0->1}, float32 (H, W, 2), pixels. Not used for frames that come with their flow.
        protocol: ``corrected``, ``occlusion_aware`` (which needs ``visible``), ``etc_released`` or ``vspw_released``.

    Raises:
        UserError: unknown method or protocol, or no number of classes.

    Examples:
        >>> metric = TemporalConsistency(classes=19)
        >>> for clip in clips:
        ...     metric.new_clip()
        ...     for frame in clip:
        ...         metric.update(network(frame).argmax(0), frame)
        >>> metric.compute()["tc"]
    """

    def __init__(self, classes: int, flow: str | Estimate = "dis", protocol: str = DEFAULT_PROTOCOL) -> None:
        super().__init__(flow)
        if not isinstance(classes, int | np.integer) or not 1 <= classes <= IGNORE:
            raise UserError(f"classes: {classes!r} is no number of classes; give a whole number, 1 to {IGNORE}")
        self.classes = classes
        self._protocol = protocol_named(protocol)
        self.counts: IouCounts | None = None

    def update(self, prediction: Any, frame: Any = None, flow: Any = None, visible: Any = None) -> None:
        """Take the next frame of a clip.

        Args:
            prediction: ids (H, W), 0..C-1, 255 = not counted; integers.
            frame: (H, W, 3) or (3, H, W), RGB, uint8, or float in 0..1; not needed with ``flow``.
            flow: F_{before->now} on the grid of the frame before, (H, W, 2) or (2, H, W), pixels; None computes it.
            visible: bool (H, W) on that grid: pixels that the frame now still shows.

        Raises:
            UserError: sizes differ, an id is out of range, or neither frames nor flow are given.
        """
        pair = self._advance(_ids(prediction, self.classes), frame, flow)
        if pair is None:
            return
        before, now, flow = pair
        seen = self._protocol.warp(now, flow, None if visible is None else _array(visible).astype(bool))
        self._add(self._protocol.count(joint_histogram(before, seen), self.classes))

    def compute(self) -> dict[str, Any]:
        """``tc`` and ``agreement`` (shares from 0 to 1; NaN before the first pair), ``per_class`` float64 (C,)."""
        if self.counts is None:
            return {"tc": np.nan, "agreement": np.nan, "per_class": np.full(self.classes, np.nan)}
        name = self._protocol.name
        return {
            "tc": temporal_consistency(self.counts, name),
            "agreement": pixel_agreement(self.counts),
            "per_class": class_consistency(self.counts, name),
        }

    def reset(self) -> None:
        """Forget everything."""
        self.counts = None
        self.new_clip()

    def merge(self, other: "TemporalConsistency") -> None:
        """Add what another metric of the same classes and protocol has counted, e.g. in another process.

        Raises:
            UserError: classes or protocol differ.
        """
        _check_kind(self, other)
        if (other.classes, other._protocol.name) != (self.classes, self._protocol.name):
            raise UserError("only metrics of the same classes and protocol can be merged")
        if other.counts is not None:
            self._add(other.counts)

    def _add(self, counts: IouCounts) -> None:
        self.counts = counts if self.counts is None else pool([self.counts, counts])


class FlipRate(_Pairs):
    """Share of pixels whose class changes twice within three frames, followed along the flow (etc/evaluation/flips.py).

    Args:
        flow: as for :class:`TemporalConsistency`.
    """

    def __init__(self, flow: str | Estimate = "dis") -> None:
        self.counts = FlipCounts(0, 0)
        super().__init__(flow)

    def new_clip(self) -> None:
        """The next frame does not follow the last one."""
        super().new_clip()
        self._changes: tuple[np.ndarray, np.ndarray] | None = None

    def update(self, prediction: Any, frame: Any = None, flow: Any = None) -> None:
        """Take the next frame of a clip, as for :meth:`TemporalConsistency.update`."""
        pair = self._advance(_ids(prediction), frame, flow)
        if pair is None:
            return
        before, now, flow = pair
        changes = change_map(before, seen_from(now, flow))
        if self._changes is not None:
            found = flip_counts(self._changes[0], changes, self._changes[1])
            self.counts = FlipCounts(self.counts.flips + found.flips, self.counts.counted + found.counted)
        self._changes = changes, flow

    def compute(self) -> float:
        """The share, 0 to 1; NaN before the first three frames."""
        return self.counts.flips / self.counts.counted if self.counts.counted else float("nan")

    def reset(self) -> None:
        """Forget everything."""
        self.counts = FlipCounts(0, 0)
        self.new_clip()

    def merge(self, other: "FlipRate") -> None:
        """Add what another metric has counted.

        Raises:
            UserError: it is of another kind.
        """
        _check_kind(self, other)
        self.counts = FlipCounts(self.counts.flips + other.counts.flips, self.counts.counted + other.counts.counted)


class VideoConsistency:
    """VC_n (Miao et al., "VSPW", CVPR 2021): right in every frame of a window in which the truth holds still.

    Args:
        length: n, the frames of a window, at least 2; 8 and 16 are usual.
        protocol: ``paper``, or ``vspw_released`` for what VSPW's script computes, for comparison with published
            figures (docs/metrics.md says how they differ).

    Raises:
        UserError: n below 2, or an unknown protocol.
    """

    def __init__(self, length: int = 8, protocol: str = "paper") -> None:
        if not isinstance(length, int | np.integer):
            raise UserError(f"length: {length!r} is no number of frames; give a whole number, at least 2")
        if protocol not in _VC:
            raise UserError(f"no protocol of VC is called {protocol!r}; use one of {', '.join(_VC)}")
        self.length, self.protocol = length, protocol
        self.videos: list[WindowCounts] = []
        self._counter = WindowCounter([length])

    def update(self, prediction: Any, truth: Any) -> None:
        """Take the next frame of a video: ids (H, W) of prediction and truth; 255 in the truth is not counted.

        Raises:
            UserError: the sizes of the two, or of two frames of the video, differ.
        """
        prediction, truth = _ids(prediction), _ids(truth)
        if prediction.shape != truth.shape:
            raise UserError(f"a prediction of {prediction.shape} beside a truth of {truth.shape}")
        self._counter.add(prediction, truth)

    def new_clip(self) -> None:
        """The next frame begins another video."""
        counts = self._counter.counts(self.length)
        if len(counts.stable):
            self.videos.append(counts)
        self._counter = WindowCounter([self.length])

    def compute(self) -> float:
        """Mean over the windows of a video, then over videos, 0 to 1; NaN when no window is whole."""
        return _VC[self.protocol]([*self.videos, self._counter.counts(self.length)])

    def reset(self) -> None:
        """Forget everything."""
        self.videos = []
        self._counter = WindowCounter([self.length])

    def merge(self, other: "VideoConsistency") -> None:
        """Add the videos of another metric of the same length and protocol; both are between two videos then.

        Raises:
            UserError: length or protocol differ.
        """
        _check_kind(self, other)
        if (other.length, other.protocol) != (self.length, self.protocol):
            raise UserError(
                f"VC_{self.length} ({self.protocol}) and VC_{other.length} ({other.protocol}) cannot be merged"
            )
        self.new_clip()
        other.new_clip()
        self.videos += other.videos


def _array(values: Any) -> np.ndarray:
    """A NumPy array of whatever has the values; a torch tensor may lie on a GPU, or be of a type that NumPy lacks."""
    if not hasattr(values, "detach"):
        return np.asarray(values)
    tensor = values.detach().cpu()
    return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)


def _check_kind(one: object, other: object) -> None:
    if type(other) is not type(one):
        raise UserError(f"a {type(one).__name__} and a {type(other).__name__} cannot be merged")


def _ids(values: Any, classes: int = IGNORE) -> np.ndarray:
    ids = _array(values)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"class ids are integers (H, W), not {ids.dtype} {ids.shape}; take the argmax of scores first")
    if ids.dtype != np.uint8:
        if ids.size and not 0 <= ids.min() <= ids.max() <= IGNORE:
            raise UserError(f"class ids are 0 to 254, and 255 = not counted; found {ids.min()} to {ids.max()}")
        ids = ids.astype(np.uint8)
    # Fewer than all ids are allowed.
    if classes < IGNORE and (largest := ids[ids != IGNORE].max(initial=0)) >= classes:
        raise UserError(f"class id {largest}, but there are {classes} classes")
    # The caller may use its array again for the next frame.
    return ids.copy()


def _picture(values: Any, size: tuple[int, ...]) -> np.ndarray:
    image = _array(values)
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        image = np.moveaxis(image, 0, -1)
    if np.issubdtype(image.dtype, np.floating):
        # Interpolation may leave the range by rounding; other values are other units, e.g. 0..255 or normalised ones.
        if image.size and not -0.01 <= image.min() <= image.max() <= 1.01:
            raise UserError(
                f"a frame of floats is in 0..1, this one has {image.min():.3g} to {image.max():.3g}; divide by 255, or "
                "give the frame as it was before it was normalised"
            )
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise UserError(f"a frame is (H, W, 3) of the prediction's size, uint8 or float in 0..1, not {image.shape}")
    return np.ascontiguousarray(image).copy()
