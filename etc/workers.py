"""Work on many clips at once, with results in the order of the clips."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import cv2

from etc.errors import UserError


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """OpenCV on one thread: the flow of DIS depends on the number of threads."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


class Workers:
    """A context manager whose ``map`` runs over processes, or in this process when one is enough.

    Args:
        number: of processes. Each keeps OpenCV on one thread, so results do not depend on the number.
    """

    def __init__(self, number: int):
        self._number = number
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self._number > 1:
            self._pool = ProcessPoolExecutor(
                self._number, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
            )
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if self._pool:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Results in the order of ``items``; the first error in this order is raised.

        Raises:
            UserError: a process died.
        """
        if self._pool is None:
            with single_thread():
                yield from map(function, items)
            return
        try:
            yield from self._pool.map(function, items)
        except BrokenProcessPool as error:
            raise UserError("a worker process died, perhaps for lack of memory: use fewer --workers") from error
