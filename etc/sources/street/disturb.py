"""Camera effects on a clean frame: blur, changing exposure and white balance, sensor noise."""

import cv2
import numpy as np

from etc.sources.street.params import Disturbance


def disturb(images: np.ndarray, strength: Disturbance, seed: np.random.SeedSequence) -> np.ndarray:
    """Disturb every frame of a clip on its own, so that neighbouring frames differ in more than their motion.

    A frame's draws do not depend on the strengths, so one strength can be changed while the others act as before.

    Args:
        images: float32 (T, H, W, 3) RGB, 0..1.
        strength: how strong each disturbance is; all zero returns the images unchanged.
        seed: the clip's seed for this step.

    Returns:
        float32 (T, H, W, 3), 0..1.
    """
    return np.stack(
        [
            _one(image, strength, np.random.default_rng(child))
            for image, child in zip(images, seed.spawn(len(images)), strict=True)
        ]
    )


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Float images in 0..1 to uint8, rounded."""
    return np.rint(images * np.float32(255)).astype(np.uint8)


def _one(image: np.ndarray, strength: Disturbance, rng: np.random.Generator) -> np.ndarray:
    exposure, tint, softness = rng.standard_normal(), rng.standard_normal(3), rng.random()
    if strength.blur * softness > 0:
        image = cv2.GaussianBlur(image, (0, 0), strength.blur * softness, borderType=cv2.BORDER_REFLECT_101)
    gain = np.exp(strength.flicker * exposure + strength.tint * tint)
    image = image * gain.astype(np.float32)
    if strength.noise > 0:
        image = image + np.float32(strength.noise) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image, 0, 1)
