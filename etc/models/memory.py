"""Out of memory: one line that says which parameter to lower."""

import contextlib
from collections.abc import Iterator

import torch

from etc.core.errors import UserError

# torch has no exception of its own for the CPU: its allocator raises RuntimeError with one of these texts.
_CPU_TEXTS = ("not enough memory", "can't allocate memory")


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Turn an allocation that fails inside the block into a ``UserError``.

    Args:
        advice: what to lower, e.g. "lower 'batch' in params/evaluate.yaml".

    Raises:
        UserError: torch or NumPy got no memory, on the CPU or a GPU.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        where = "GPU" if isinstance(error, torch.OutOfMemoryError) else "machine"
        raise UserError(f"the memory of the {where} is not enough: {advice}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _CPU_TEXTS)
