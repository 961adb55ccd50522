"""Products of vectors and small matrices as sums in a fixed order.

BLAS, which ``@`` calls, adds in another order on each kind of processor.
"""

import numpy as np


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products of vectors whose three components are the first axis, (3, ...) and (3, ...) that broadcast."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product of (..., I, K) and (..., K, J) for a small K."""
    return sum(a[..., :, k, None] * b[..., k, None, :] for k in range(a.shape[-1]))
