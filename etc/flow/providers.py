"""Where the evaluation gets its flow from: the interface, and the flow files of this project."""

import os
from typing import Protocol

import numpy as np

from etc.core.errors import UserError
from etc.flow.store import FlowReader


class FlowProvider(Protocol):
    """Flow between the frames of one clip."""

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Flow of one pair.

        Args:
            source: frame number t.
            target: frame number s.

        Returns:
            F_{t->s} on the grid of frame t, float32 (H, W, 2), pixels; visible, bool (H, W), or None when not known.

        Raises:
            UserError: there is no flow of this pair, or it is damaged.
        """
        ...

    def describe(self, source: int, target: int) -> str:
        """What the flow of a pair comes from, for messages: a file, or a method and its frames."""
        ...


class StoredFlow:
    """Flow file of one clip (see ``etc.flow.store``), opened at the first pair. Can be pickled.

    Args:
        path: the file, ``<clip>.arrow``.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self._reader: FlowReader | None = None

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``FlowProvider``; raises ``UserError`` when the file is missing, damaged or of another version."""
        if self._reader is None:
            self._reader = FlowReader(self.path)
        return self._reader.read(source, target)

    def describe(self, source: int, target: int) -> str:
        return os.fspath(self.path)


class LastPair:
    """Remembers the last pair of another provider, so that several runs are judged with one computation."""

    def __init__(self, provider: FlowProvider):
        self._provider = provider
        self._pair: tuple[int, int] | None = None
        self._flow: tuple[np.ndarray, np.ndarray | None] | UserError

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``FlowProvider``."""
        if self._pair != (source, target):
            self._pair = (source, target)
            try:
                self._flow = self._provider.read(source, target)
            except UserError as error:
                self._flow = error
        if isinstance(self._flow, UserError):
            raise self._flow
        return self._flow

    def describe(self, source: int, target: int) -> str:
        return self._provider.describe(source, target)
