"""Time on the clock, processor time and peak memory of a part that runs in a process of its own, with its children."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil


class Timed(NamedTuple):
    """What a part returns: its result, and the seconds on the clock and of processor time, start-up not counted."""

    result: Any
    seconds: float
    processor: float


class Measured(NamedTuple):
    """A timed part and the peak memory of its process tree in bytes."""

    timed: Timed
    peak: int

    def row(self, pairs: int) -> str:
        """Milliseconds a pair on the clock and of processor time, and memory, as cells of a Markdown table."""
        clock, processor = (1000 * seconds / pairs for seconds in self.timed[1:])
        return f"{clock:.0f} | {processor:.0f} | {self.peak / 1e6:.0f} MB"


def timed(part: Callable[[], Any]) -> Timed:
    start, processor = time.perf_counter(), _processor_seconds()
    result = part()
    return Timed(result, time.perf_counter() - start, _processor_seconds() - processor)


def _processor_seconds() -> float:
    """User and system time of this process and its children, finished ones included."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    # What finished children took is kept by their parent.
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def measure(part: Callable[..., Timed], *arguments: Any) -> Measured:
    """Run ``part`` in a fresh process; the peak is the sum of resident memory over it and its children."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, part, *arguments))
    process.start()
    sender.close()
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        tree = psutil.Process(process.pid)
        while not done.wait(0.05):
            peak = max(peak, _resident(tree))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = receiver.recv()
    finally:
        done.set()
        watcher.join()
        process.join()
    return Measured(result, peak)


def _send(sender: Any, part: Callable, *arguments: Any) -> None:
    sender.send(part(*arguments))


def _resident(tree: psutil.Process) -> int:
    total = 0
    try:
        processes = [tree, *tree.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
