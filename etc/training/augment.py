"""Random changes of a training sample that keep frames, label and flow consistent.

Every sample is changed by one similarity transform (scale, rotation, flip, crop) and one change of colour and
sharpness. All frames of the sample get the same, the label follows by nearest neighbour, and the flow is sampled
at the same places and its vectors are scaled, turned and mirrored.

Only the rectangle of the frame that a crop comes from is read and converted (:attr:`Augmentation.window`), and the crop
is made a few rows at a time: what it costs is its own size, not that of the frame. The bits are those of changing whole
frames at once.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from etc.dataset.label_sets import IGNORE
from etc.params.training import AugmentParams

# Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])

# Rows of the crop at a time: their temporary arrays stay in the processor's cache.
_ROWS = 32

# Rows and columns of a frame.
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Augmentation:
    """One randomly drawn change.

    Attributes:
        size: height and width of the frame, pixels.
        matrix: float64 (2, 3), takes a pixel (x, y, 1) of the frame to its place in the crop.
        crop: height and width of the crop, pixels.
        colour: float32 (3, 4), affine change of RGB in 0..255.
        sigma: standard deviation of the Gaussian blur, pixels; 0 for none.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    crop: tuple[int, int]
    colour: np.ndarray
    sigma: float

    def sources(self, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Where in the frame each pixel of these rows of the crop comes from: x and y, float64 (h, w)."""
        inverse = self.inverse
        y, x = np.arange(self.crop[0], dtype=np.float64)[rows, None], np.arange(self.crop[1], dtype=np.float64)
        across, down = (row[0] * x + row[1] * y for row in inverse)
        across += inverse[0, 2]
        down += inverse[1, 2]
        return across, down

    @cached_property
    def window(self) -> Window:
        """The part of the frame that the crop is made of. Its start is even, so that halves are rounded as in it."""
        height, width = self.crop
        corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
        x, y = self.inverse @ corners
        return _span(y, self.size[0]), _span(x, self.size[1])

    @cached_property
    def inverse(self) -> np.ndarray:
        """From a pixel of the crop to its place in the frame, float64 (2, 3)."""
        return _inverse(self.matrix)


@dataclass(frozen=True)
class Sample:
    """A changed sample.

    Attributes:
        images: float32 (K, h, w, 3), RGB in 0..1; black outside the frame.
        label: uint8 (h, w) train ids, 255 = ignore, also outside the frame.
        flow: float32 (h, w, 2) from the first image to the second, pixels of the crop; 0 outside the frame.
        visible: bool (h, w), True where the flow's start and end both lie inside the frame and the point is not
            occluded; None without flow.
    """

    images: np.ndarray
    label: np.ndarray
    flow: np.ndarray | None
    visible: np.ndarray | None


def draw(rng: np.random.Generator, size: tuple[int, int], params: AugmentParams) -> Augmentation:
    """Draw a change for frames of ``size`` (height, width).

    The number of draws does not depend on the parameters, so switching one change off leaves the others as they were.
    """
    scale_draw, angle_draw, flip_draw, x_draw, y_draw, blur_draw, sigma_draw = rng.random(7)
    brightness, contrast, saturation = rng.uniform(-1, 1, 3)
    scale = float(np.exp(np.interp(scale_draw, [0, 1], np.log(params.scale))))
    angle = np.deg2rad((2 * angle_draw - 1) * params.rotation)
    centre = (_centre(x_draw, size[1], params.crop[1] / scale), _centre(y_draw, size[0], params.crop[0] / scale))
    return Augmentation(
        size=size,
        matrix=_similarity(scale, angle, flip_draw < params.flip, centre, params.crop),
        crop=params.crop,
        colour=_colour(
            1 + brightness * params.brightness, 1 + contrast * params.contrast, 1 + saturation * params.saturation
        ),
        sigma=params.blur_sigma * float(sigma_draw) if blur_draw < params.blur else 0.0,
    )


def apply(
    augmentation: Augmentation,
    images: list[np.ndarray],
    label: np.ndarray,
    flow: np.ndarray | None = None,
    visible: np.ndarray | None = None,
) -> Sample:
    """Change a sample.

    Args:
        augmentation: from :func:`draw`.
        images: frames, uint8 (H, W, 3) RGB; they, the label and the flow hold the augmentation's ``window`` alone.
        label: uint8 (H, W) train ids of the first frame.
        flow: float32 (H, W, 2) from the first frame to the second, pixels, or None.
        visible: bool (H, W), False where the flow's point is occluded in the second frame; None: all visible.

    Raises:
        ValueError: something is not of the window's size.
    """
    height, width = augmentation.crop
    expected = tuple(part.stop - part.start for part in augmentation.window)
    for array in filter(lambda one: one is not None, (*images, label, flow, visible)):
        if array.shape[:2] != expected:
            raise ValueError(f"an array of {array.shape[:2]} pixels, the window has {expected}: cut it first")
    # Interpolating floats keeps the flow, and an identity transform, exact.
    frames = [image.astype(np.float32) for image in images]
    seen = None if visible is None else np.ascontiguousarray(visible).view(np.uint8)
    sampled = np.empty((len(images), height, width, 3), np.float32)
    new_label = np.empty((height, width), np.uint8)
    new_flow = None if flow is None else np.empty((height, width, 2), np.float32)
    new_visible = None if flow is None else np.empty((height, width), bool)
    for start in range(0, height, _ROWS):
        rows = slice(start, start + _ROWS)
        sources = augmentation.sources(rows)
        maps = _maps(sources, augmentation.window)
        for frame, one in zip(frames, sampled, strict=True):
            _sample(frame, maps, cv2.INTER_LINEAR, out=one[rows])
        _sample(label, maps, cv2.INTER_NEAREST, IGNORE, out=new_label[rows])
        if flow is not None:
            new_flow[rows], new_visible[rows] = _move_flow(augmentation, sources, maps, flow, seen)
    changed = np.empty_like(sampled)
    for one, out in zip(sampled, changed, strict=True):
        _recolour(augmentation, one, out)
    return Sample(changed, new_label, new_flow, new_visible)


def _move_flow(
    augmentation: Augmentation,
    sources: tuple[np.ndarray, np.ndarray],
    maps: tuple[np.ndarray, np.ndarray],
    flow: np.ndarray,
    visible: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    # p maps to A p + b and its partner to A (p + F) + b, so the flow of the crop is A F.
    sampled = _sample(flow, maps, cv2.INTER_LINEAR)
    moved = sampled @ augmentation.matrix[:, :2].T.astype(np.float32)
    ends = (source + part for source, part in zip(sources, cv2.split(sampled), strict=True))
    valid = _inside(*sources, augmentation.size) & _inside(*ends, augmentation.size)
    if visible is not None:
        valid &= _sample(visible, maps, cv2.INTER_NEAREST)
    return moved, valid.astype(bool)


def _maps(sources: tuple[np.ndarray, np.ndarray], window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Where in the window the pixels come from, float32. Rounded as positions in the frame; the difference is exact."""
    rows, columns = window
    x, y = (one.astype(np.float32) for one in sources)
    x -= np.float32(columns.start)
    y -= np.float32(rows.start)
    return x, y


def _span(positions: np.ndarray, size: int) -> slice:
    """All pixels that positions between these are interpolated from, inside a frame of this size."""
    return slice(max(0, int(positions.min()) - 2) // 2 * 2, min(size, int(positions.max()) + 3))


def _sample(
    image: np.ndarray,
    maps: tuple[np.ndarray, np.ndarray],
    how: int,
    outside: int = 0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    # All resampling happens here.
    return cv2.remap(image, *maps, how, out, cv2.BORDER_CONSTANT, [outside] * 4)


def _recolour(augmentation: Augmentation, image: np.ndarray, out: np.ndarray) -> None:
    # Of the whole crop: the last pixels that OpenCV is given may be rounded in another way than those before them.
    cv2.transform(image, augmentation.colour, dst=out)
    np.clip(out, 0, 255, out=out)
    if augmentation.sigma > 0:
        cv2.GaussianBlur(out, (0, 0), augmentation.sigma, dst=out)
    out /= np.float32(255)


def _inside(x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """255 where a position lies inside the frame, 0 elsewhere."""
    return cv2.inRange(x, 0, size[1] - 1) & cv2.inRange(y, 0, size[0] - 1)


def _centre(position: float, size: int, extent: float) -> float:
    """Centre of the crop in the frame: the crop stays inside the frame, or the frame inside the crop."""
    low, high = sorted((extent / 2, size - extent / 2))
    # Pixel centres have integer coordinates, so the frame extends from -0.5 to size - 0.5.
    return low + position * (high - low) - 0.5


def _similarity(
    scale: float, angle: float, flip: bool, centre: tuple[float, float], crop: tuple[int, int]
) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    middle = np.array([(crop[1] - 1) / 2, (crop[0] - 1) / 2])
    return np.column_stack([linear, middle - linear @ np.array(centre)])


def _inverse(matrix: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _colour(brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Saturation, then contrast about mid-grey, then brightness, as one affine map of RGB in 0..255."""
    grey = np.tile(_LUMA, (3, 1))
    linear = saturation * np.eye(3) + (1 - saturation) * grey
    offset = np.full((3, 1), 127.5 * (1 - contrast))
    return (brightness * np.hstack([contrast * linear, offset])).astype(np.float32)
