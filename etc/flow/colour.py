"""Flow as colour, by the Middlebury wheel.

Baker et al., "A database and evaluation methodology for optical flow", IJCV 2011.
"""

import numpy as np

# Steps between neighbouring hues: red-yellow, yellow-green, green-cyan, cyan-blue, blue-magenta, magenta-red.
_SEGMENTS = (15, 6, 4, 11, 13, 6)
_UNKNOWN = 1e9


def colour_wheel() -> np.ndarray:
    """The 55 hues of the wheel, float64 (55, 3) RGB in 0..255, starting at red."""
    wheel = np.zeros((sum(_SEGMENTS), 3))
    start = 0
    for segment, steps in enumerate(_SEGMENTS):
        # Every second segment fades a channel out instead of in: R+G, G-R, G+B, B-G, B+R, R-B.
        held = ((segment + 1) // 2) % 3
        moving = (1, 0, 2, 1, 0, 2)[segment]
        ramp = np.floor(255 * np.arange(steps) / steps)
        wheel[start : start + steps, held] = 255
        wheel[start : start + steps, moving] = ramp if segment % 2 == 0 else 255 - ramp
        start += steps
    return wheel


def flow_to_rgb(flow: np.ndarray, maximum: float | None = None) -> np.ndarray:
    """Colour a flow: hue is direction (red = right), saturation is length, white is no motion.

    Args:
        flow: float32 (H, W, 2) in pixels. Vectors that are NaN or above 1e9 (the .flo mark for unknown) become black.
        maximum: length in pixels that gets full saturation; longer vectors are darkened. Default: the longest one.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    known = np.isfinite(flow).all(axis=2) & (np.abs(flow) <= _UNKNOWN).all(axis=2)
    u, v = np.where(known, np.moveaxis(flow, 2, 0), 0).astype(np.float64)
    length = np.hypot(u, v)
    if maximum is None:
        maximum = float(length.max())
    radius = (length / maximum if maximum > 0 else length)[..., None]
    wheel = colour_wheel() / 255
    position = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(wheel) - 1)
    lower = np.floor(position).astype(int)
    share = (position - lower)[..., None]
    hue = (1 - share) * wheel[lower] + share * wheel[(lower + 1) % len(wheel)]
    colour = np.where(radius <= 1, 1 - radius * (1 - hue), 0.75 * hue)
    return np.where(known[..., None], np.floor(255 * colour), 0).astype(np.uint8)
