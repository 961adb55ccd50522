"""Progress in bytes: a bar on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

from etc.core.progress import LOG_SECONDS


@contextlib.contextmanager
def track_bytes(total: int | None, label: str, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show how many bytes are done, how many a second, and the remaining time.

    Args:
        total: bytes of the whole job, None = unknown.
        label: short name in front of the bar.
        done: bytes that an earlier run has done.

    Yields:
        A function that is told how many of ``total`` bytes are done.
    """
    if sys.stderr.isatty():
        with tqdm(
            total=total, desc=label, initial=done, unit="B", unit_scale=True, mininterval=0.2, dynamic_ncols=True
        ) as bar:
            yield lambda position: bar.update(position - bar.n)
        return
    start = last = time.monotonic()

    def show(position: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            last = now
            meter = tqdm.format_meter(
                position, total, now - start, ncols=100, prefix=label, initial=done, unit="B", unit_scale=True
            )
            print(meter, file=sys.stderr)

    yield show


def volume(count: int) -> str:
    """A number of bytes for a reader: ``1.23GB``."""
    return tqdm.format_sizeof(count, "B")
