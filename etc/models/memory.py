"""Out of memory: one line that says which parameter to lower."""

import contextlib
from collections.abc import Iterator

import torch

from etc.core.errors import UserError

# torch has no exception class for the CPU: its allocator raises RuntimeError with one of these texts.
_CPU_TEXTS = ("not enough memory", "can't allocate memory")


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Turn a failed allocation inside the block into a ``UserError``.

    Args:
        advice: what to lower, e.g. "lower 'batch' in params/evaluate.yaml".

    Raises:
        UserError: torch or NumPy ran out of memory, on the CPU or a GPU.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        where = "GPU" if isinstance(error, torch.OutOfMemoryError) else "machine"
        raise UserError(f"the {where} has too little memory: {advice}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _CPU_TEXTS)
