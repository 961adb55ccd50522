"""Padding and resizing for networks."""

import numpy as np
import pytest

from etc.flow.estimators import sizing


@pytest.mark.parametrize(
    ("shape", "multiple", "minimum", "expected"),
    [
        ((16, 24), 8, 1, (16, 24)),
        ((17, 23), 8, 1, (24, 24)),
        ((5, 40), 8, 128, (128, 128)),
        ((130, 1), 8, 128, (136, 128)),
    ],
)
def test_padding_repeats_the_border_and_can_be_cut_off(shape, multiple, minimum, expected):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    padded, window = sizing.pad(frame, multiple, minimum)
    assert padded.shape == (*expected, 3)
    np.testing.assert_array_equal(sizing.crop(padded, window), frame)
    before = [(total - side) // 2 for total, side in zip(expected, shape, strict=True)]
    index = [
        np.clip(np.arange(total) - first, 0, side - 1)
        for total, first, side in zip(expected, before, shape, strict=True)
    ]
    np.testing.assert_array_equal(padded, frame[np.ix_(*index)])


@pytest.mark.parametrize("shape", [(32, 60), (8, 15), (32, 15), (16, 30)])
def test_a_linear_flow_is_stretched_with_its_frame(shape):
    """Flow a*x + b on pixel centres keeps its form when the frame is stretched, away from the border."""
    y, x = np.mgrid[:16, :30].astype(np.float32)
    flow = np.stack([0.3 * x - 2, 0.2 * y + 1], -1)
    across, down = shape[1] / 30, shape[0] / 16
    resized = sizing.resize_flow(flow, shape)
    assert resized.shape == (*shape, 2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    expected = np.stack(
        [across * (0.3 * ((x + 0.5) / across - 0.5) - 2), down * (0.2 * ((y + 0.5) / down - 0.5) + 1)], -1
    )
    np.testing.assert_allclose(resized[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1e-4)


def test_a_shrunken_frame_holds_the_means():
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    means = frame.reshape(4, 2, 6, 2, 3).mean((1, 3))
    assert np.abs(sizing.resize_frame(frame, (4, 6)) - means).max() <= 0.5
    assert sizing.resize_frame(frame, (16, 24)).shape == (16, 24, 3)
