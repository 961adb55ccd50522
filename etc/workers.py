"""Work on many clips at once, with results in the order of the clips."""

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import cv2

from etc.core.errors import UserError

# Numbers of mallopt(3), and bytes: the largest array that is reused (glibc's limit), and how much is kept.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _KEPT = 32 << 20, 256 << 20


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """OpenCV on one thread: the flow of DIS depends on the number of threads."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of freed arrays instead of returning it and asking for it again.

    The loops over pairs and training samples make arrays of some megabytes for each; clearing their pages anew took a
    sixth of the time of TC at 1024x2048, see docs/benchmarks.md. Other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


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
            self._pool = ProcessPoolExecutor(self._number, mp_context=get_context("spawn"), initializer=_start_worker)
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
