"""Notices a loss that jumps and stays there, as after a step along a gradient that was far too large."""

from collections import deque
from itertools import islice
from statistics import fmean, median_low
from typing import NamedTuple

RECENT, BEFORE = 20, 200  # steps
FACTOR = 3.0


class Jump(NamedTuple):
    """A jump of the loss.

    Attributes:
        step: number of the first step after it, from 0.
        before: mean loss of the steps before the last ``RECENT``.
        now: median loss of the last ``RECENT`` steps.
    """

    step: int
    before: float
    now: float


class JumpWatch:
    """Sees the losses of a training one after the other, and reports the first jump once.

    The median of the last ``RECENT`` losses is compared with the mean of up to ``BEFORE`` losses before them, at least
    ``RECENT``. A median, because the mean of twenty losses follows a single one that is large enough.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=BEFORE + RECENT)
        self._steps, self._reported = 0, False

    def __call__(self, loss: float) -> Jump | None:
        """The jump, if it shows with the loss of this step for the first time."""
        self._losses.append(loss)
        self._steps += 1
        if self._reported or len(self._losses) < 2 * RECENT:
            return None
        older = len(self._losses) - RECENT
        before, recent = fmean(islice(self._losses, older)), list(islice(self._losses, older, None))
        # Losses may be negative; then three times as much is no jump.
        if not 0 < FACTOR * before < median_low(recent):
            return None
        self._reported = True
        first = next(place for place, value in enumerate(recent) if value > FACTOR * before)
        return Jump(self._steps - RECENT + first, before, median_low(recent))
