"""A small CamVid of drawn pictures, in both forms, and videos of it."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from etc.sources.camvid.classes import known_colours

SHAPE = (36, 48)

PUBLISHED = {
    "train": [f"0001TP_{n:06d}" for n in range(6690, 8521, 30)]
    + [f"0006R0_f{n:05d}" for n in range(930, 3931, 30)]
    + [f"0016E5_{901 if n == 900 else n:05d}" for n in (*range(390, 2401, 30), *range(4350, 7921, 30))]
    + [f"0016E5_{n:05d}" for n in range(8190, 8641, 30)],
    "val": [f"0016E5_{n:05d}" for n in range(7959, 8160, 2)],
    "test": [f"0001TP_{n:06d}" for n in range(8550, 10_381, 30)] + [f"Seq05VD_f{n:05d}" for n in range(0, 5101, 30)],
}


def picture(number: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A smooth picture, uint8 (H, W, 3) RGB; those of two numbers have nothing in common."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def number_of(name: str) -> int:
    return int(name.rpartition("_")[2].removeprefix("f"))


def segnet(root: Path, names: dict[str, Iterable[str]], shape: tuple[int, int] = SHAPE) -> Path:
    """The SegNet form: names of frames per folder."""
    label = (np.arange(shape[0] * shape[1]).reshape(shape) % 12).astype(np.uint8)
    for folder, members in names.items():
        for name in members:
            write(root / folder / f"{name}.png", picture(number_of(name), shape))
            write(root / f"{folder}annot" / f"{name}.png", label)
    return root


def original(root: Path, names: Iterable[str]) -> Path:
    """The original form."""
    colours = np.array(known_colours(), np.uint8)
    label = colours[np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % len(colours)]
    for name in names:
        write(root / "701_StillsRaw_full" / f"{name}.png", picture(number_of(name)))
        write(root / "LabeledApproved_full" / f"{name}_L.png", label)
    return root


def empty_files(folder: Path, names: Iterable[str]) -> None:
    """Files whose names alone matter."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def video(path: Path, numbers: Iterable[int], codec: str = "FFV1", shape: tuple[int, int] = SHAPE) -> Path:
    """A video of the pictures of these numbers; FFV1 is lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 30, shape[::-1])
    assert writer.isOpened()
    for number in numbers:
        writer.write(picture(number, shape)[..., ::-1])
    writer.release()
    return path
