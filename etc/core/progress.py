"""Progress of long loops: a bar on a terminal, an occasional line in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG_SECONDS = 10.0


def track(
    items: Iterable[T], total: int | None, label: str, done: int = 0, note: Callable[[], str] = lambda: ""
) -> Iterator[T]:
    """Yield ``items`` while showing how many of ``total`` are done, the rate and the remaining time.

    Args:
        items: what is still to do.
        total: length of the whole job, including what an earlier run did; None where nobody knows it.
        label: short name in front of the bar.
        done: how many an earlier run did.
        note: returns a few words to append; called after each item.
    """
    if sys.stderr.isatty():
        bar = tqdm(items, total=total, desc=label, initial=done, mininterval=0.2, dynamic_ncols=True)
        for item in bar:
            yield item
            bar.set_postfix_str(note(), refresh=False)
    else:
        yield from _logged(items, total, label, done, note)


def _logged(items: Iterable[T], total: int | None, label: str, done: int, note: Callable[[], str]) -> Iterator[T]:
    """A line every ten seconds: several jobs may write to the same log, and none of them owns its last line."""
    start = last = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            last = now
            line = tqdm.format_meter(
                done + number, total, now - start, ncols=100, prefix=label, initial=done, postfix=note()
            )
            print(line, file=sys.stderr)
