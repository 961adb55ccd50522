"""Work over processes: order, the first error, a process that dies."""

import math
import os

import cv2
import pytest

from etc.errors import UserError
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


def test_a_process_that_dies_is_reported():
    with pytest.raises(UserError, match="a worker process died"), Workers(2) as workers:
        list(workers.map(os._exit, [1]))
