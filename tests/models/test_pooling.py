"""Averages over bins against means written out, and against torch's own adaptive pooling."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from etc.models.pooling import average_bins

GRIDS = [(1, 1), (2, 2), (3, 3), (6, 6), (4, 5)]
SIZES = [(12, 18), (13, 17), (6, 6), (5, 3), (1, 1)]


def reference(x, rows, columns):
    """(C, H, W) to (C, rows, columns): bin i reaches from floor(i n / b) to ceil((i + 1) n / b)."""
    edges = [
        [(int(np.floor(i * n / b)), int(np.ceil((i + 1) * n / b))) for i in range(b)]
        for n, b in zip(x.shape[1:], (rows, columns), strict=True)
    ]
    return np.stack([[x[:, a:b, c:d].mean((1, 2)) for c, d in edges[1]] for a, b in edges[0]]).transpose(2, 0, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_means_of_the_bins(size, layout):
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout)
    for grid, pooled in zip(GRIDS, average_bins(x, GRIDS), strict=True):
        assert pooled.shape == (2, 3, *grid)
        for one, expected in zip(pooled, x.numpy(), strict=True):
            np.testing.assert_allclose(one, reference(expected, *grid), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_adaptive_pooling(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(2, 3, *grid, dtype=torch.float64) for grid in GRIDS]
    plain = [F.adaptive_avg_pool2d(x, grid) for grid in GRIDS]
    one, other = (
        torch.autograd.grad(sum((y * w).sum() for y, w in zip(pooled, weights, strict=True)), x)[0]
        for pooled in (average_bins(x, GRIDS), plain)
    )
    torch.testing.assert_close(one, other)


def test_gradients_are_right():
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: tuple(average_bins(y, [(2, 3), (3, 2)])), x)


def test_half_precision_is_summed_in_float32():
    """In bfloat16 the mean of 97 x 97 ones would not be 1."""
    ones = torch.ones(1, 2, 97, 97, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for pooled in (*average_bins(ones, GRIDS), *average_bins(ones.float(), GRIDS)):
            assert pooled.dtype == torch.float32
            torch.testing.assert_close(pooled, torch.ones_like(pooled), rtol=2e-5, atol=0)
