"""Flow computed from the frames when it is asked for."""

from collections.abc import Callable

import numpy as np

from etc.core.errors import UserError

Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]


class EstimatedFlow:
    """Flow of one clip by an estimator (see ``etc.flow.methods``); two frames are kept in memory.

    Args:
        frame: frame number to uint8 (H, W, 3) RGB.
        estimate: two such frames to F_{0->1}, float32 (H, W, 2), pixels.
        name: of the method, for messages.
        describe: frame number to its name in messages, e.g. its file.
    """

    def __init__(
        self,
        frame: Callable[[int], np.ndarray],
        estimate: Estimate,
        name: str = "estimated",
        describe: Callable[[int], str] = "frame {}".format,
    ):
        self._frame, self._estimate, self._name, self._describe = frame, estimate, name, describe
        self._recent: dict[int, np.ndarray] = {}

    def read(self, source: int, target: int) -> tuple[np.ndarray, None]:
        """See ``etc.flow.store.FlowReader``; an estimator does not know where its flow is right, so there is no mask.

        Raises:
            UserError: a frame cannot be read, or the two differ in size.
        """
        self._recent = {
            number: self._recent[number] if number in self._recent else self._frame(number)
            for number in (source, target)
        }
        first, second = self._recent[source], self._recent[target]
        if first.shape != second.shape:
            raise UserError(
                f"{self._describe(target)}: {second.shape[1]}x{second.shape[0]} pixels, but {self._describe(source)} "
                f"of the same clip has {first.shape[1]}x{first.shape[0]}"
            )
        return self._estimate(first, second), None

    def describe(self, source: int, target: int) -> str:
        """See ``etc.flow.store.FlowReader``."""
        return f"{self._name} flow of {self._describe(source)}"
