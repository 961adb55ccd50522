"""How fast a device multiplies matrices: what the speed of a network is compared with."""

import functools
import statistics
import time

import torch

SIZE = 8192


@functools.cache
def matrix_speed(device: torch.device, repeat: int = 20) -> float:
    """Operations a second in products of two bfloat16 matrices on a GPU; measured once, after three to warm up."""
    one, other = (torch.randn(SIZE, SIZE, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(3 + repeat):
        torch.cuda.synchronize()
        start = time.perf_counter()
        one @ other
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / statistics.median(seconds[3:])
