"""Random changes of a training sample that keep frames, label and flow consistent.

Every sample is changed by one similarity transform (scale, rotation, flip, crop) and one change of colour and
sharpness. All frames of the sample get the same, the label follows by nearest neighbour, and the flow is sampled
at the same places and its vectors are scaled, turned and mirrored.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from etc.dataset.label_sets import IGNORE
from etc.params.training import AugmentParams

# Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Augmentation:
    """One randomly drawn change.

    Attributes:
        matrix: float64 (2, 3), takes a pixel (x, y, 1) of the frame to its place in the crop.
        crop: height and width of the crop, pixels.
        colour: float32 (3, 4), affine change of RGB in 0..255.
        sigma: standard deviation of the Gaussian blur, pixels; 0 for none.
    """

    matrix: np.ndarray
    crop: tuple[int, int]
    colour: np.ndarray
    sigma: float

    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """Where in the frame each pixel of the crop comes from: x and y, float64 (h, w)."""
        inverse = _inverse(self.matrix)
        y, x = np.mgrid[: self.crop[0], : self.crop[1]].astype(np.float64)
        return (
            inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2],
            inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2],
        )


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
        images: frames, uint8 (H, W, 3) RGB.
        label: uint8 (H, W) train ids of the first frame.
        flow: float32 (H, W, 2) from the first frame to the second, pixels, or None.
        visible: bool (H, W), False where the flow's point is occluded in the second frame; None: all visible.
    """
    x, y = augmentation.sources()
    maps = x.astype(np.float32), y.astype(np.float32)
    changed = np.stack([_recolour(augmentation, _sample(image, maps, cv2.INTER_LINEAR)) for image in images])
    new_flow, new_visible = None, None
    if flow is not None:
        new_flow, new_visible = _move_flow(augmentation, (x, y), maps, flow, visible)
    return Sample(changed, _sample(label, maps, cv2.INTER_NEAREST, IGNORE), new_flow, new_visible)


def _move_flow(
    augmentation: Augmentation,
    sources: tuple[np.ndarray, np.ndarray],
    maps: tuple[np.ndarray, np.ndarray],
    flow: np.ndarray,
    visible: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    # p maps to A p + b and its partner to A (p + F) + b, so the flow of the crop is A F.
    sampled = _sample(flow, maps, cv2.INTER_LINEAR)
    moved = (sampled @ augmentation.matrix[:, :2].T.astype(np.float32)).astype(np.float32)
    height, width = flow.shape[:2]
    valid = _inside(*sources, width, height)
    valid &= _inside(sources[0] + sampled[..., 0], sources[1] + sampled[..., 1], width, height)
    if visible is not None:
        valid &= _sample(visible.astype(np.uint8), maps, cv2.INTER_NEAREST).astype(bool)
    return moved, valid


def _sample(image: np.ndarray, maps: tuple[np.ndarray, np.ndarray], how: int, outside: int = 0) -> np.ndarray:
    # All resampling happens here. Interpolating floats keeps the flow, and an identity transform, exact.
    image = image.astype(np.float32) if how == cv2.INTER_LINEAR else image
    return cv2.remap(image, *maps, how, borderMode=cv2.BORDER_CONSTANT, borderValue=[outside] * 4)


def _recolour(augmentation: Augmentation, image: np.ndarray) -> np.ndarray:
    image = np.clip(cv2.transform(image, augmentation.colour), 0, 255)
    if augmentation.sigma > 0:
        image = cv2.GaussianBlur(image, (0, 0), augmentation.sigma)
    return image / np.float32(255)


def _inside(x: np.ndarray, y: np.ndarray, width: int, height: int) -> np.ndarray:
    return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


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
