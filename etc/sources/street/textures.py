"""How surfaces are painted: procedural textures, filtered to the size of a pixel on the surface.

All coordinates are metres on the surface, so a texture moves with its object. ``wide_u`` and ``wide_v`` are the lengths
of a pixel along the two directions; a detail smaller than that fades to its mean, which keeps frames free of shimmer.
"""

from functools import cache

import numpy as np

SIZE = 512  # texels along the side of a noise tile
LEVELS = 9
LEVEL_SIZE = SIZE * SIZE

Array = np.ndarray


@cache
def noise_tile(slope: float) -> Array:
    """Periodic noise at nine resolutions, float32 (LEVELS * SIZE * SIZE,), mean 0, standard deviation 1 at level 0.

    Level k holds no detail finer than about 2^k texels. ``slope``: the amplitude falls as frequency^-slope.
    """
    rng = np.random.default_rng(int(1000 * slope))
    frequency = np.sqrt(np.fft.fftfreq(SIZE)[:, None] ** 2 + np.fft.rfftfreq(SIZE)[None, :] ** 2)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * frequency**-slope
    spectrum[0, 0] = 0
    levels = []
    for level in range(LEVELS):
        spread = 0.0 if level == 0 else 0.4 * 2.0**level
        filtered = np.fft.irfft2(spectrum * np.exp(-2 * (np.pi * frequency * spread) ** 2), s=(SIZE, SIZE))
        levels.append(filtered)
    # Powers and exponentials differ between processors in the last bit, which this rounding takes away.
    return np.ldexp(np.rint(np.ldexp(np.stack(levels) / levels[0].std(), 14)), -14).astype(np.float32).ravel()


def noise(slope: float, period: float, u: Array, v: Array, wide: Array) -> Array:
    """Noise that repeats after ``period`` metres, at (u, v) for pixels ``wide`` metres wide. All float32 (M,)."""
    scale = np.float32(SIZE / period)
    # The exponent is that of log2, which is not rounded alike on every processor.
    level = np.frexp(np.maximum(wide * scale, 1))[1] - 1
    np.minimum(level, LEVELS - 1, out=level)
    # Truncation and the mask wrap negative coordinates correctly because SIZE is a power of two.
    column = np.floor(u * scale).astype(np.int32) & (SIZE - 1)
    row = np.floor(v * scale).astype(np.int32) & (SIZE - 1)
    return np.take(noise_tile(slope), level * LEVEL_SIZE + row * SIZE + column)


def pulse(x: Array, period: Array | float, width: Array | float, wide: Array) -> Array:
    """Share of a pixel at x that lies on stripes [0, width) of every ``period``. Float32 (M,), 0..1."""
    wide = np.maximum(wide, 1e-4)

    def area(end: Array) -> Array:
        whole = np.floor(end / period)
        return whole * width + np.minimum(end - whole * period, width)

    return (area(x + wide / 2) - area(x - wide / 2)) / wide


def cover(x: Array, centre: float, width: float, wide: Array) -> Array:
    """Share of a pixel at x that lies on one stripe. Float32 (M,), 0..1."""
    wide = np.maximum(wide, 1e-4)
    high = np.minimum(x + wide / 2, centre + width / 2)
    low = np.maximum(x - wide / 2, centre - width / 2)
    return np.maximum(high - low, 0) / wide


def plain(u: Array, v: Array, wide_u: Array, wide_v: Array) -> Array:
    """Paint, metal, cloth: a little dirt. Returns the factor on the colour, (M,)."""
    return 1 + 0.07 * noise(1.2, 3.0, u, v, np.maximum(wide_u, wide_v))


def asphalt(colour: Array, u: Array, v: Array, wide_u: Array, wide_v: Array, road: tuple[float, float]) -> Array:
    """Tarmac with lane markings; u runs across the road from its middle, v along. Returns (3, M)."""
    grain = noise(0.8, 4.0, u, v, wide_v * 0.5)
    stains = noise(1.7, 24.0, u, v, np.maximum(wide_u, wide_v * 0.25))
    tone = colour * (1 + 0.10 * grain + 0.13 * stains)
    middle = cover(u, 0.0, 0.16, wide_u) * pulse(v, 6.0, 3.0, wide_v)
    edges = cover(u, road[1], 0.14, wide_u) + cover(u, -road[1], 0.14, wide_u)
    mark = np.minimum(middle + edges, 1) * (0.85 + 0.05 * stains)
    return tone * (1 - mark) + np.float32(0.82) * mark


def slabs(u: Array, v: Array, wide_u: Array, wide_v: Array, size: Array, joint: Array) -> Array:
    """Paving stones ``size`` metres wide with darker joints. Returns the factor on the colour, (M,)."""
    line = np.maximum(pulse(u, size, joint, wide_u), pulse(v, size, joint, wide_v))
    each = noise(0.0, 37.0, np.floor(u / size) * 3.7, np.floor(v / size) * 5.3, np.zeros_like(u))
    near = np.clip(1.5 - np.maximum(wide_u, wide_v) / size, 0, 1)
    grain = noise(0.8, 5.0, u, v, np.maximum(wide_u, wide_v * 0.5))
    return (1 + 0.06 * grain + 0.05 * near * each) * (1 - 0.35 * line)


def facade(colour: Array, u: Array, v: Array, wide_u: Array, wide_v: Array, bay: Array, floor: Array) -> Array:
    """A wall with rows of windows, one in each ``bay`` x ``floor`` cell; v is the height. Returns (3, M)."""
    wall = colour * (1 + 0.08 * noise(1.2, 6.0, u, v, np.maximum(wide_u, wide_v)))
    band = pulse(v, floor, 0.18, wide_v)
    wall = wall * (1 - 0.22 * band)
    glass = pulse(u - 0.25 * bay, bay, 0.5 * bay, wide_u) * pulse(v - 0.28 * floor, floor, 0.52 * floor, wide_v)
    frame = pulse(u - 0.20 * bay, bay, 0.6 * bay, wide_u) * pulse(v - 0.23 * floor, floor, 0.62 * floor, wide_v)
    each = noise(0.0, 41.0, np.floor(u / bay) * 4.1, np.floor(v / floor) * 7.7, np.zeros_like(u))
    near = np.clip(1.5 - np.maximum(wide_u / bay, wide_v / floor), 0, 1)
    shine = np.clip(0.20 + 0.06 * near * each, 0.05, 0.5)
    pane = np.stack([0.85 * shine, shine, 1.15 * shine])
    surround = np.minimum(wall * 1.25, 1)
    wall = wall + (surround - wall) * frame
    return wall + (pane - wall) * glass


def leaves(u: Array, v: Array, wide_u: Array, wide_v: Array) -> Array:
    """Foliage and grass: strong light and dark clumps. Returns the factor on the colour, (M,)."""
    wide = np.maximum(wide_u, wide_v)
    clumps = 0.30 * noise(0.8, 5.0, u, v, wide) + 0.14 * noise(1.7, 18.0, u, v, wide)
    return np.clip(1 + clumps, 0.25, 1.9)


def planks(u: Array, v: Array, wide_u: Array, wide_v: Array, size: Array, joint: Array) -> Array:
    """Boards or corrugated sheet: upright stripes. Returns the factor on the colour, (M,)."""
    dirt = noise(1.2, 4.0, u, v, np.maximum(wide_u, wide_v))
    return (1 + 0.08 * dirt) * (1 - 0.45 * pulse(u, size, joint, wide_u))
