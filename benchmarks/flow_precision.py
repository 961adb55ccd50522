"""What storing flow costs: size, end-point error and change of TC by precision and stored size.

    python benchmarks/flow_precision.py                              # the embedded data set, rendered here
    python benchmarks/flow_precision.py --frames DIR                 # consecutive real frames, sorted by name
    python benchmarks/flow_precision.py --frames DIR --labels DIR    # with label maps of the same names

DIS medium flow between consecutive frames, in both directions with forward-backward visibility, is written to the
flow store and read back. TC (protocol corrected) compares the label maps of consecutive frames through the flow as
computed and through the flow as read. Without labels the maps come from a per-frame stand-in for a segmentation
network: every pixel gets the nearest of 19 centres in colour and height, found by k-means on the first frame. Its
ragged regions make TC more sensitive to flow than a network's would. Ids from 11 on (CamVid's void) are ignored with
--labels. Prints a Markdown table.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.dataset import label_sets
from etc.evaluation.tc import pair_counts, pool, temporal_consistency
from etc.flow.methods import build
from etc.flow.store import FlowWriter, StoredFlow
from etc.flow.visibility import forward_backward_visible
from etc.params import frames as params
from etc.sources.street.street import generate_clip

CLASSES = 19
VOID_FROM = 11
SETTINGS = [(1, 128), (1, 32), (1, 16), (1, 8), (2, 32), (2, 16), (2, 8), (4, 16), (4, 8)]
Clip = tuple[list[np.ndarray], list[np.ndarray]]


def embedded_clips(count: int) -> Iterator[Clip]:
    """Frames and exact labels of dev clips of the shipped parameters."""
    settings = params.load("street")
    for number in range(count):
        clip = generate_clip(settings, "dev", number)
        yield list(clip.images), list(label_sets.STREET.encode(clip.sources))


def folder_clip(frames: Path, labels: Path | None) -> Clip:
    """Frames of a folder and their label maps. Every frame must have one."""
    paths = sorted(path for path in frames.iterdir() if path.suffix in (".png", ".jpg"))
    images = [cv2.imread(str(path))[..., ::-1].copy() for path in paths]
    if labels is None:
        return images, segment(images)
    maps = [cv2.imread(str(labels / path.name), cv2.IMREAD_UNCHANGED) for path in paths]
    return images, [np.where(one < VOID_FROM, one, 255).astype(np.uint8) for one in maps]


def segment(images: list[np.ndarray]) -> list[np.ndarray]:
    """The stand-in for predictions: nearest centre in blurred Lab colour and height."""

    def features(image: np.ndarray) -> np.ndarray:
        lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 4), cv2.COLOR_RGB2LAB).astype(np.float32)
        rows = np.broadcast_to(np.linspace(0, 128, len(image), dtype=np.float32)[:, None, None], (*lab.shape[:2], 1))
        return np.concatenate([lab, rows], 2)

    cv2.setRNGSeed(0)
    sample = np.ascontiguousarray(features(images[0])[::8, ::8].reshape(-1, 4))
    criteria = (cv2.TERM_CRITERIA_COUNT, 20, 0)
    centres = cv2.kmeans(sample, CLASSES, None, criteria, 1, cv2.KMEANS_PP_CENTERS)[2]
    maps = []
    for image in images:
        values = features(image)
        distances = np.stack([((values - centre) ** 2).sum(axis=2) for centre in centres])
        maps.append(distances.argmin(axis=0).astype(np.uint8))
    return maps


def consistency(maps: list[np.ndarray], flows: list[np.ndarray]) -> float:
    """TC in percent over the consecutive pairs."""
    counts = (pair_counts(*maps[t : t + 2], flow, None, CLASSES) for t, flow in enumerate(flows))
    return 100 * temporal_consistency(pool(counts))


def measure(clip: Clip, folder: Path) -> tuple[float, dict[tuple[int, int], list[float]]]:
    """TC through the flow as computed, and for each setting: bytes a pixel, EPE mean and 99th percentile, TC."""
    images, maps = clip
    estimate = build("dis", preset="medium")
    pairs = range(len(images) - 1)
    forward = [estimate(images[t], images[t + 1]) for t in pairs]
    backward = [estimate(images[t + 1], images[t]) for t in pairs]
    visible = [
        (forward_backward_visible(there, back), forward_backward_visible(back, there))
        for there, back in zip(forward, backward, strict=True)
    ]
    results = {}
    for scale, steps in SETTINGS:
        path = folder / "clip.arrow"
        try:
            writer = FlowWriter(path, "benchmark", images[0].shape[:2], 1 / steps, "dis", scale)
        except UserError as error:  # a step that is too fine for frames of this size
            print(f"1/{steps} px at scale {scale}: {error}")
            continue
        with writer:
            for t in pairs:
                writer.write(t, t + 1, forward[t], visible[t][0])
                writer.write(t + 1, t, backward[t], visible[t][1])
        reader = StoredFlow(path)
        read = [reader.read(t, t + 1)[0] for t in pairs]
        errors = [np.linalg.norm(one - other, axis=2) for one, other in zip(read, forward, strict=True)]
        results[scale, steps] = [
            path.stat().st_size / (2 * len(pairs) * forward[0].size // 2),
            float(np.mean([error.mean() for error in errors])),
            float(np.mean([np.percentile(error, 99) for error in errors])),
            consistency(maps, read),
        ]
    return consistency(maps, forward), results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, help="folder of consecutive frames; default: the embedded data set")
    parser.add_argument("--labels", type=Path, help="folder of their label maps")
    parser.add_argument("--clips", type=int, default=6, help="clips of the embedded data set")
    arguments = parser.parse_args()
    clips = [folder_clip(arguments.frames, arguments.labels)] if arguments.frames else embedded_clips(arguments.clips)
    with tempfile.TemporaryDirectory() as folder:
        measured = [(clip[0][0].shape, len(clip[0]) - 1, *measure(clip, Path(folder))) for clip in clips]
    (height, width, _), pairs = measured[0][0], sum(count for _, count, _, _ in measured)
    exact = np.mean([tc for _, _, tc, _ in measured])
    print(f"{width}x{height}, {pairs} pairs, TC through the flow as computed {exact:.2f}\n")
    print("| stored size | step, px | smaller than .flo | EPE loss, px | 99 % below, px | TC change, points |")
    print("|---|---|---:|---:|---:|---:|")
    for scale, steps in measured[0][3]:
        values = np.mean([results[scale, steps] for _, _, _, results in measured], axis=0)
        size, mean, tail, tc = values
        print(f"| 1/{scale} | 1/{steps} | {8 / size:.1f}x | {mean:.3f} | {tail:.2f} | {tc - exact:+.3f} |")


if __name__ == "__main__":
    main()
