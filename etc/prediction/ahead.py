"""Work that threads do in advance, so that decoding, the network and encoding overlap."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_WAIT = 0.1  # seconds between two looks whether anyone still wants the items


def ahead(items: Iterable[T], held: int = 4) -> Iterator[T]:
    """Yield ``items``, which a thread takes from their iterator a few at a time before they are asked for.

    OpenCV and torch let other threads run while they compute. When the caller stops, so does the thread.

    Args:
        items: iterated in the thread; what it raises is raised here.
        held: items that wait at most.
    """
    queue: Queue = Queue(held)
    stopped = threading.Event()

    def put(kind: str, value: object) -> bool:
        while not stopped.is_set():
            try:
                queue.put((kind, value), timeout=_WAIT)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the caller's thread
            put("error", error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = queue.get(timeout=_WAIT)
            except Empty:
                continue
            if kind == "item":
                yield value
            elif kind == "error":
                raise value
            else:
                return
    finally:
        stopped.set()
        # Ctrl-C once more changes nothing: the thread ends with its item.
        with contextlib.suppress(KeyboardInterrupt):
            thread.join()


def spread(
    work: Callable[[T], R], items: Iterable[T], threads: int, start: Callable[[], None] = lambda: None
) -> Iterator[R]:
    """Yield ``work(item)`` of each item, in their order, computed by several threads before it is asked for.

    Args:
        work: what it raises is raised here.
        items: iterated here, only as far as there is room: two a thread.
        threads: items that are worked on at once.
        start: called in each thread first.
    """
    waiting: deque = deque()
    pool = ThreadPoolExecutor(threads, initializer=start)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Ctrl-C once more changes nothing: the threads end with their items.
        with contextlib.suppress(KeyboardInterrupt):
            pool.shutdown(cancel_futures=True)
