"""Predictions on any frames, as a video, as pictures or as two figures; constant memory for a video of any length."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from etc.colours import label_set_of
from etc.core.errors import UserError, first_line, many
from etc.core.progress import track
from etc.dataset.label_sets import LabelSet
from etc.flow.estimators.dis import Dis
from etc.inference import Segment, compiled, predict
from etc.prediction.ahead import ahead
from etc.prediction.measured import Measured
from etc.prediction.network import load
from etc.prediction.outputs import opened
from etc.prediction.sources import Frame, FrameStream, open_frames, resized
from etc.prediction.writing import OPACITY
from etc.reporting.flicker import CAPTIONS, Flicker
from etc.reporting.video import overlay, side_by_side
from etc.workers import single_thread

Form = Literal["overlay", "colours", "ids"]
Precision = Literal["fp32", "bf16"]
Result = tuple[Frame, list[np.ndarray]]  # a frame, and its ids by each network
_NARROWEST, _WIDEST = 240, 640  # pixels of one picture among several, so that its caption fits


@dataclass(frozen=True)
class Wanted:
    """What is to be made.

    Attributes:
        form: of one picture.
        compare: folder of a second network, shown below the first one.
        flicker: add where the class changes against the motion, in this frame and so far.
        measure: add up pixel agreement and flip rate of the first network.
        device: auto, cpu or cuda.
        precision: of the networks.
        compiled: compile the networks with torch.compile.
        size: height and width that frames are brought to; None leaves them.
        force: replace a video that exists.
    """

    form: Form = "overlay"
    compare: Path | None = None
    flicker: bool = False
    measure: bool = False
    device: str = "auto"
    precision: Precision = "fp32"
    compiled: bool = False
    size: tuple[int, int] | None = None
    force: bool = False


def stream(run: Path, source: str, to: Path | None, split: str | None, wanted: Wanted) -> tuple[str, bool]:
    """Predict every frame of a source.

    Args:
        run: folder of a trained network.
        source: see :func:`etc.prediction.sources.open_frames`.
        to: name of a video, or a folder; None writes nothing.
        split: of a data set; None: test.
        wanted: what is to be made.

    Returns:
        The closing line, and whether Ctrl-C or SIGTERM ended it before the source did; what was made is kept.

    Raises:
        UserError: the network, the source or the output is wrong; nothing is written then.
    """
    runs = [run] if wanted.compare is None else [run, wanted.compare]
    if wanted.form == "ids" and (wanted.flicker or len(runs) > 1):
        raise UserError("--form ids: --flicker and --compare show pictures; choose overlay or colours")
    loaded = [load(one, wanted.device) for one in runs]
    names = [tuple(config["class_names"]) for _, config in loaded]
    for other, folder in zip(names[1:], runs[1:], strict=True):
        if other != names[0]:
            raise UserError(
                f"{folder}: trained on the classes {', '.join(other)}, {run} on {', '.join(names[0])}; compare "
                "networks of the same classes"
            )
    networks = [Segment(network, half=wanted.precision == "bf16") for network, _ in loaded]
    if wanted.compiled:
        networks = [compiled(network) for network in networks]
    frames = open_frames(source, split)
    if wanted.size:
        frames = replace(frames, pixel_aspect=Fraction(1))
    drawing = _Drawing(runs, label_set_of(names[0], loaded[0][1].get("palette")), wanted)
    measured = Measured(len(names[0])) if wanted.measure else None
    inputs = [*frames.inputs, *runs]
    begin, number, stopped = time.monotonic(), 0, False
    # One thread for OpenCV: with more, its flow differs from that of `etc tc`.
    with _Signals() as signals, opened(to, frames, inputs, wanted.force) as output, single_thread():
        try:
            with signals.allowed(True):
                # How long a camera will go on is not known.
                for frame, ids in track(_predicted(networks, frames, wanted), frames.count or None, "predict"):
                    with signals.allowed(False):
                        if measured:
                            measured(frame, ids[0])
                        if to is not None:
                            output.write(frame, drawing(frame, ids))
                        number += 1
        except KeyboardInterrupt:
            stopped = True
            if not number:
                raise
    seconds = time.monotonic() - begin
    return _closing(run, to, number, frames.count if stopped else None, seconds, measured), stopped


def _predicted(networks: Sequence[Segment], frames: FrameStream, wanted: Wanted) -> Iterator[Result]:
    """Frames with the prediction of each network; decoding and networks run in threads of their own."""

    def work() -> Iterator[Result]:
        for frame in ahead(resized(frames.frames, wanted.size)):
            with _compiling(wanted.compiled):
                ids = [predict(network, frame.image[None], batch=1)[0] for network in networks]
            yield frame, ids

    return ahead(work())


@contextlib.contextmanager
def _compiling(compiled: bool) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torch.compile fails in many ways, and without a C++ compiler always
        if not compiled or isinstance(error, UserError):
            raise
        raise UserError(f"--compile: {first_line(error)}; install a C++ compiler, or leave it out") from error


class _Signals:
    """SIGINT, SIGTERM and SIGHUP raise ``KeyboardInterrupt`` where they may; elsewhere they wait, or are ignored.

    Otherwise one that comes while a picture is encoded, or a finished file gets its name, would cost the whole video.
    """

    def __init__(self) -> None:
        self._asked = self._allowed = False
        self._before: dict[str, Any] = {}

    def __enter__(self) -> "_Signals":
        if threading.current_thread() is threading.main_thread():
            for one in filter(lambda name: hasattr(signal, name), ("SIGINT", "SIGTERM", "SIGHUP")):
                self._before[one] = signal.signal(getattr(signal, one), self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(getattr(signal, one), handler)

    @contextlib.contextmanager
    def allowed(self, now: bool) -> Iterator[None]:
        """Whether they interrupt this block. One that had to wait does so as soon as it may."""
        before, self._allowed = self._allowed, now
        try:
            self._raise()
            yield
        finally:
            self._allowed = before
        self._raise()

    def _take(self, *_: object) -> None:
        self._asked = True
        self._raise()

    def _raise(self) -> None:
        if self._asked and self._allowed:
            raise KeyboardInterrupt


class _Drawing:
    """The picture of a frame: one, or several side by side and one network below the other."""

    def __init__(self, runs: Sequence[Path], label_set: LabelSet, wanted: Wanted) -> None:
        self._names, self._label_set, self._wanted = [_caption(run) for run in runs], label_set, wanted
        self._flicker = [Flicker() for _ in runs] if wanted.flicker else []
        self._estimate, self._before = Dis("medium"), np.empty(0, np.uint8)

    def __call__(self, frame: Frame, ids: Sequence[np.ndarray]) -> np.ndarray:
        if self._wanted.form == "ids":
            return ids[0]
        pictures = [self._one(frame.image, one) for one in ids]
        if len(ids) == 1 and not self._flicker:
            return pictures[0]
        width = min(max(frame.image.shape[1], _NARROWEST), _WIDEST)
        if not self._flicker:
            return side_by_side(pictures, self._names, str(frame.number), width)
        follows = frame.follows and self._before.shape == frame.image.shape
        flow = self._estimate(frame.image, self._before) if follows else None
        self._before = frame.image
        rows = []
        for name, picture, one, flicker in zip(self._names, pictures, ids, self._flicker, strict=True):
            shown = [picture, *flicker(frame.image, one, flow)]
            rows.append(side_by_side(shown, [name, *CAPTIONS], str(frame.number), width))
        return np.vstack(rows)

    def _one(self, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
        if self._wanted.form == "colours":
            return self._label_set.colour(ids)
        return overlay(image, ids, self._label_set, OPACITY)


def _caption(run: Path) -> str:
    """The name of a run; that of a labeller or teacher is the number of its chain, and says nothing alone."""
    place = run.absolute()
    return f"{place.parent.name} {place.name}" if place.name.isdigit() else place.name


def _closing(
    run: Path, to: Path | None, number: int, stopped_of: int | None, seconds: float, measured: Measured | None
) -> str:
    early = f" (stopped early, of about {stopped_of})" if stopped_of else ""
    line = f"{many(number, 'frame')}{early} by {run}" + (f" in {to}" if to else "")
    line += f", {number / seconds:.1f} frames a second"
    if measured:
        shown = ("not known" if math.isnan(one) else f"{100 * one:.2f} %" for one in measured.figures())
        line += ", agreement {}, flip rate {}".format(*shown)
    return line
