"""Flow computed from the frames while it is asked for."""

from collections.abc import Callable

import numpy as np

from etc.core.errors import UserError
from etc.flow.visibility import forward_backward_visible

Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]


class EstimatedFlow:
    """Flow of one clip by an estimator such as ``etc.flow.methods.Dis``; two frames are kept in memory.

    Args:
        frame: frame number to uint8 (H, W, 3) RGB.
        estimate: two such frames to F_{0->1}, float32 (H, W, 2), pixels.
        visibility: also find what is visible, by the forward-backward check; doubles the work.
        name: of the method, for messages.
        describe: frame number to its name in messages, e.g. its file.
    """

    def __init__(
        self,
        frame: Callable[[int], np.ndarray],
        estimate: Estimate,
        visibility: bool = False,
        name: str = "estimated",
        describe: Callable[[int], str] = "frame {}".format,
    ):
        self._frame, self._estimate, self._visibility, self._name = frame, estimate, visibility, name
        self._describe = describe
        self._recent: dict[int, np.ndarray] = {}

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``etc.flow.providers.FlowProvider``.

        Raises:
            UserError: a frame cannot be read, or the two differ in size.
        """
        self._recent = {number: self._recent.get(number, None) for number in (source, target)}
        for number, frame in self._recent.items():
            if frame is None:
                self._recent[number] = self._frame(number)
        first, second = self._recent[source], self._recent[target]
        if first.shape != second.shape:
            raise UserError(
                f"{self._describe(target)}: {second.shape[1]}x{second.shape[0]} pixels, but {self._describe(source)} "
                f"of the same clip has {first.shape[1]}x{first.shape[0]}"
            )
        forward = self._estimate(first, second)
        if not self._visibility:
            return forward, None
        return forward, forward_backward_visible(forward, self._estimate(second, first))

    def describe(self, source: int, target: int) -> str:
        return f"{self._name} flow of {self._describe(source)}"
