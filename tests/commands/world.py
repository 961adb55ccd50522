"""Folders for ``etc tc``: a scene of squares that slides to the right by a whole number of pixels a frame."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from etc.flow.io import write_flo

HEIGHT, WIDTH, MOTION, CLASSES = 48, 80, 3, 4


def scene(seed: int, frames: int = 0) -> np.ndarray:
    """Class ids of a scene that is wide enough for so many frames, uint8 (HEIGHT, 3 * WIDTH or more)."""
    rng = np.random.default_rng(seed)
    columns = max(3 * WIDTH // 8, -(-(WIDTH + MOTION * frames) // 8))
    squares = rng.integers(0, CLASSES, (HEIGHT // 8, columns))
    return np.kron(squares, np.ones((8, 8))).astype(np.uint8)


def view(wide: np.ndarray, frame: int) -> np.ndarray:
    """What lies at x in a frame lies at x + MOTION in the next one."""
    start = wide.shape[1] - WIDTH - MOTION * frame
    return np.ascontiguousarray(wide[:, start : start + WIDTH])


def picture(wide: np.ndarray, seed: int) -> np.ndarray:
    """A textured picture of the scene, uint8 RGB."""
    rng = np.random.default_rng([seed, 1])
    colours = rng.integers(30, 225, (CLASSES, 3))[wide].astype(np.float32)
    texture = cv2.GaussianBlur(rng.normal(0, 120, wide.shape).astype(np.float32), (0, 0), 1.5)
    return np.clip(colours + texture[..., None], 0, 255).astype(np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make(
    root: Path,
    clips: tuple[str, ...] = ("ride", "walk"),
    numbers: range = range(5),
    pattern: str = "{clip}/{number:04d}",
    frames: bool = True,
    flow: bool = True,
    wrong: float = 0.0,
    name: str = "predictions",
) -> Path:
    """Write predictions, frames and forward flow below ``root``; frames and flow are those of the predictions.

    Args:
        root: folder.
        clips: clip names; each has a scene of its own.
        numbers: frame numbers. The scene moves by MOTION from each to the next.
        pattern: file name without its ending.
        frames, flow: write them too.
        wrong: share of pixels of every prediction that get a random class.
        name: folder of the predictions.
    """
    for seed, clip in enumerate(clips):
        wide = scene(seed, len(numbers))
        colours = picture(wide, seed)
        rng = np.random.default_rng([seed, 2])
        for position, number in enumerate(numbers):
            file = pattern.format(clip=clip, number=number)
            ids = view(wide, position)
            noise = rng.random(ids.shape) < wrong
            ids[noise] = rng.integers(0, CLASSES, int(noise.sum()))
            save(root / name / f"{file}.png", ids)
            if frames:
                save(root / "frames" / f"{file}.png", view(colours, position))
            if flow:
                vectors = np.full((HEIGHT, WIDTH, 2), (MOTION, 0), np.float32)
                (root / "flow" / file).parent.mkdir(parents=True, exist_ok=True)
                write_flo(root / "flow" / f"{file}.flo", vectors)
    return root
