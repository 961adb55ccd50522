"""Work over processes: order, the first error, a process that dies."""

import math
import os
import platform
import resource

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.workers import Workers


def invert(number):
    if number < 0:
        raise UserError(f"{number} is negative")
    return 1 / math.sqrt(number), cv2.getNumThreads()


@pytest.mark.parametrize("number", [1, 2])
def test_results_come_in_order_on_one_thread_each(number):
    with Workers(number) as workers:
        assert list(workers.map(invert, [4, 16, 1])) == [(0.5, 1), (0.25, 1), (1.0, 1)]
        results = workers.map(invert, [4, -1, -2])
        assert next(results) == (0.5, 1)
        with pytest.raises(UserError, match="-1 is negative"):
            next(results)


def page_faults(_):
    """Of making and letting go of eight arrays of 8 MB, 2048 pages each, for the second time."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        arrays = [np.full(8 << 20, 1, np.uint8) for _ in range(8)]
        arrays.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again():
    with Workers(2) as workers:
        assert max(workers.map(page_faults, [0, 1])) < 100


def test_a_process_that_dies_is_reported():
    with pytest.raises(UserError, match="a worker process died"), Workers(2) as workers:
        list(workers.map(os._exit, [1]))
