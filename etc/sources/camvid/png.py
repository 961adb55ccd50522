"""PNG files of a folder, and what kind of picture one is."""

import os
from pathlib import Path

import numpy as np


def names_in(folder: Path) -> list[str]:
    """Names of the PNG files of a folder, sorted, without hidden ones; none where there is no such folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(".png") and entry.name[0] != ".")


def kind_of(pixels: np.ndarray) -> str:
    """grey, RGB, or another kind in words, of a picture as OpenCV decodes it unchanged."""
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        return "grey"
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3:
        return "RGB"
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    return f"of {channels} channels of {pixels.dtype}"
