"""Out of memory: one line that says which parameter to lower."""

import contextlib
import errno
from collections.abc import Iterator

import cv2
import pyarrow as pa
import torch

from etc.core.errors import UserError

# Errors without a class of their own: of torch's allocator on the CPU, oneDNN, CUDA, OpenCV, and of starting threads.
_TEXTS = (
    "not enough memory",
    "can't allocate memory",
    "could not create a memory object",
    "out of memory",
    "Insufficient memory",
    "Failed to launch worker thread",
    "can't start new thread",
)


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Turn a failed allocation inside the block into a ``UserError``.

    Args:
        advice: what to lower, e.g. "lower 'batch' in params/evaluate.yaml".

    Raises:
        UserError: torch, NumPy or OpenCV ran out of memory, on the CPU or a GPU.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        where = "GPU" if "CUDA" in str(error) or isinstance(error, torch.OutOfMemoryError) else "machine"
        raise UserError(f"the {where} has too little memory: {advice}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, (RuntimeError, cv2.error, pa.ArrowException)) and any(
        text in str(error) for text in _TEXTS
    )
