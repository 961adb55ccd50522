"""The flow that ``etc tc`` judges one clip with, on top of any reader of ``etc.flow``."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from etc.core.errors import UserError, many
from etc.flow.io import UNKNOWN
from etc.flow.store import FlowReader, StoredFlow
from etc.flow.visibility import forward_backward_visible
from etc.flow_exchange import IMPORTED


class ClipFlow:
    """A ``etc.flow.store.FlowReader`` whose masks say what is visible. Can be pickled before its first pair.

    Files of the stage ``flow`` are used as they are. Other flow has at most a mask of known vectors; what is visible
    then comes from the forward-backward check, which needs the flow of the opposite pair.

    The last pair is remembered, so that several runs are judged with one computation.

    Args:
        open_reader: opens the flow; called in the process that asks for the first pair.
        visibility: find what is visible; without it the flow of the opposite pair is not needed.
        dense: every pixel is counted, so a pixel without a known vector is an error and not left out.
    """

    def __init__(self, open_reader: Callable[[], FlowReader], visibility: bool = False, dense: bool = False):
        self._open, self._visibility, self._dense = open_reader, visibility, dense
        self._pair: tuple[int, int] | None = None
        self._found: tuple[np.ndarray, np.ndarray | None] | UserError

    def read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See ``etc.flow.store.FlowReader``. Vectors that are not known lead out of the frame.

        Raises:
            UserError: there is no flow of this pair, it is damaged, has holes where it must not, or the flow of the
                opposite pair, where needed, is missing or of another size.
        """
        if self._pair != (source, target):
            self._pair = (source, target)
            try:
                self._found = self._read(source, target)
            except UserError as error:
                self._found = error
        if isinstance(self._found, UserError):
            raise self._found
        return self._found

    def describe(self, source: int, target: int) -> str:
        """See ``etc.flow.store.FlowReader``."""
        return self._reader.describe(source, target)

    @cached_property
    def _reader(self) -> FlowReader:
        return self._open()

    def _read(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray | None]:
        if isinstance(self._reader, StoredFlow) and self._reader.method != IMPORTED:
            return self._reader.read(source, target)
        flow = self._known(source, target)
        if not self._visibility:
            return flow, None
        backward = self._known(target, source)
        if backward.shape != flow.shape:
            raise UserError(
                f"{self.describe(target, source)}: {backward.shape[1]}x{backward.shape[0]} pixels, the reverse flow "
                f"has {flow.shape[1]}x{flow.shape[0]}"
            )
        return flow, forward_backward_visible(flow, backward)

    def _known(self, source: int, target: int) -> np.ndarray:
        flow, known = self._reader.read(source, target)
        if known is None or known.all():
            return flow
        if self._dense:
            pixels = many(np.count_nonzero(~known), "pixel has", "pixels have")
            raise UserError(
                f"{self.describe(source, target)}: {pixels} no valid vector, and this protocol counts every pixel"
            )
        # The store has cut them down to its largest vector.
        flow[~known] = UNKNOWN
        return flow
