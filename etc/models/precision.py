"""Full precision for single functions when the rest runs in half precision."""

import contextlib
import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def full_precision(function: Callable[..., Result]) -> Callable[..., Result]:
    """Run ``function`` with autocast off and its float16 and bfloat16 arguments converted to float32.

    Args:
        function: its first argument is a tensor on the device to compute on.
    """

    def raised(value: object) -> object:
        half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
        return value.float() if half else value

    @functools.wraps(function)
    def wrapper(first: Tensor, *args: object, **kwargs: object) -> Result:
        # The meta device, which only computes shapes, has no autocast.
        with contextlib.nullcontext() if first.is_meta else torch.autocast(first.device.type, enabled=False):
            return function(raised(first), *map(raised, args), **{name: raised(kwargs[name]) for name in kwargs})

    return wrapper
