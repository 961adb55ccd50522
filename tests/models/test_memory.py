import errno

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from etc.core.errors import UserError
from etc.inference import SegmentAveraged, predict, predict_averaged
from etc.models.memory import advising, is_out_of_memory


class Greedy(nn.Module):
    """Asks torch's allocator for more than any machine has."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.empty(2**50)


def numpy_memory():
    np.empty(2**58)


def cpu_memory():
    torch.empty(2**50)


def gpu_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


@pytest.mark.parametrize(
    ("allocate", "where"), [(numpy_memory, "machine"), (cpu_memory, "machine"), (gpu_memory, "GPU")]
)
def test_failed_allocations_say_what_to_lower(allocate, where):
    with (
        pytest.raises(UserError, match=f"^the {where} has too little memory: lower 'batch'$"),
        advising("lower 'batch'"),
    ):
        allocate()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("CUDA error: out of memory"),
        cv2.error("OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
        pa.ArrowMemoryError("malloc of size 9 failed"),
    ],
)
def test_what_libraries_raise_when_memory_runs_out_is_known(error):
    assert is_out_of_memory(error)
    with pytest.raises(UserError, match="has too little memory: lower 'batch'"), advising("lower 'batch'"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("not enough memory"), KeyError("x")])
def test_other_errors_pass(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error), match=str(error.args[0])), advising("lower 'batch'"):
        raise error


def test_prediction_names_its_batch():
    with pytest.raises(UserError, match=r"lower 'batch' \(4\), the frames per forward pass"):
        predict(Greedy(), np.zeros((4, 8, 8, 3), np.uint8), 4)
    with pytest.raises(UserError, match=r"lower 'batch' \(2\) or the largest of 'scales' \(1.5\)"):
        predict_averaged(SegmentAveraged(Greedy(), (1.0, 1.5), False), np.zeros((2, 8, 8, 3), np.uint8))
