"""Work that a thread does in advance, so that decoding, the network and encoding overlap."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
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
