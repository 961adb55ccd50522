"""The files of ``benchmarks/tc.py``: frames, predictions and flow at 1024x2048, a few real ones and links to them."""

import os
from pathlib import Path

import cv2
import numpy as np

from etc.flow.io import write_flo
from etc.flow.store import FlowWriter, StoredFlow

SIZE = (1024, 2048)
CLASSES = 19
# Rough shares of the classes in a street, percent.
SHARES = [33, 5, 20, 1, 1, 1, 0.2, 0.5, 14, 1, 4, 1, 0.1, 6, 0.2, 0.2, 0.2, 0.1, 0.4]
UNIQUE = 5
# As params/flow.yaml stores flow, chosen in docs/decisions/flow-store.md.
SCALE = 2
PAIRS_PER_CLIP = 15


def make_files(folder: Path) -> None:
    """UNIQUE frames, predictions and flows, used in turn; statistics close to those of Cityscapes.

    Predictions are the argmax of smooth scores at 1/8 of the size, as a network's are; frames are texture and noise,
    as large as a Cityscapes PNG; the flow is that of a camera driving forward, with blocks that move by themselves.
    """
    draw = np.random.default_rng(0)
    height, width = SIZE
    layout = 1.5 * _smooth(draw, CLASSES, (8, 16), (height // 8, width // 8)) + np.log(SHARES).astype(np.float32)
    texture = cv2.resize(draw.normal(110, 45, (height // 32, width // 32, 3)).astype(np.float32), (width, height))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for number in range(UNIQUE):
        scores = layout + 0.2 * _smooth(draw, CLASSES, (16, 32), (height // 8, width // 8))
        for blob in range(20):
            center = int(draw.integers(8, 248)) + number, int(draw.integers(40, 100))
            axes = int(draw.integers(1, 9)), int(draw.integers(2, 9))
            one = np.ascontiguousarray(scores[..., 11 + blob % 8])
            scores[..., 11 + blob % 8] = cv2.ellipse(one, center, axes, 0, 0, 360, 6.0, -1)
        ids = cv2.resize(scores, (width, height)).argmax(axis=2).astype(np.uint8)
        _write_png(folder / f"prediction_{number}.png", ids)
        frame = texture + draw.normal(0, 0.8, (height, width, 1)).astype(np.float32)
        _write_png(folder / f"frame_{number}.png", np.clip(np.roll(frame, 4 * number, axis=1), 0, 255).astype(np.uint8))
        flow = np.dstack([(x - width / 2) * 0.02, (y - height / 2) * 0.02])
        flow += cv2.resize(draw.normal(0, 0.3, (height // 16, width // 16, 2)).astype(np.float32), (width, height))
        flow += draw.normal(0, 0.025, flow.shape).astype(np.float32)
        for _ in range(20):
            top, left = int(draw.integers(300, 800)), int(draw.integers(0, 1900))
            flow[top : top + 150, left : left + 100, 0] += np.float32(draw.normal(0, 10))
        np.save(folder / f"flow_{number}.npy", flow)
    _write_flows(folder)


def _write_flows(folder: Path) -> None:
    """The store of one clip, and the same values as .flo files."""
    height, width = SIZE
    visible = np.zeros(SIZE, bool)
    visible[20:-20, 20:-20] = True
    flows = [np.load(folder / f"flow_{number}.npy") for number in range(UNIQUE)]
    with FlowWriter(folder / "flow.arrow", "benchmark", SIZE, scale=SCALE) as store:
        for pair in range(PAIRS_PER_CLIP):
            store.write(pair, pair + 1, flows[pair % UNIQUE], visible)
    reader = StoredFlow(folder / "flow.arrow")
    for number in range(UNIQUE):
        write_flo(folder / f"flow_{number}.flo", reader.read(number, number + 1)[0])
        (folder / f"flow_{number}.npy").unlink()


def link_clips(files: Path, pairs: int, workers: int) -> Path:
    """Folders of clips, PAIRS_PER_CLIP pairs each, fewer where each worker would not get one; links to the real files.

    Returns:
        The folder of ``predictions/<clip>/<frame>.png``, ``frames``, ``flo`` alike, and ``flow/<clip>.arrow``.
    """
    root = files / f"pairs_{pairs}"
    if root.exists():
        return root
    most = min(PAIRS_PER_CLIP, -(-pairs // workers))
    for start in range(0, pairs, most):
        clip = f"clip{start:06d}"
        for kind in ("predictions", "frames", "flo"):
            (root / kind / clip).mkdir(parents=True)
        (root / "flow").mkdir(exist_ok=True)
        os.link(files / "flow.arrow", root / "flow" / f"{clip}.arrow")
        for frame in range(min(most, pairs - start) + 1):
            os.link(files / f"frame_{frame % UNIQUE}.png", root / "frames" / clip / f"{frame}.png")
            os.link(files / f"prediction_{frame % UNIQUE}.png", root / "predictions" / clip / f"{frame}.png")
            os.link(files / f"flow_{frame % UNIQUE}.flo", root / "flo" / clip / f"{frame}.flo")
    return root


def _smooth(draw: np.random.Generator, channels: int, coarse: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    noise = draw.normal(0, 1, (*coarse, channels)).astype(np.float32)
    planes = [cv2.resize(noise[..., one], size[::-1], interpolation=cv2.INTER_CUBIC) for one in range(channels)]
    return np.dstack(planes)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
