"""Frames a second of ``etc predict``, beside its two parts alone: decoding the video, and the network.

    python benchmarks/predict.py RUN VIDEO

Prints one Markdown table. All three take the same frames in one process, in turn; the best of several rounds counts.
The share is that of the slower part: 100 % is what overlapping could reach at best.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from etc.inference import predict
from etc.prediction.network import load
from etc.prediction.sources import open_frames
from etc.prediction.streaming import Wanted, stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a trained network")
    parser.add_argument("video", help="a video, some hundred frames long")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    network, _ = load(options.run)
    images = [frame.image for frame in open_frames(options.video).frames]

    def decode() -> None:
        for _ in open_frames(options.video).frames:
            pass

    def segment() -> None:
        for image in images:
            predict(network, image[None], batch=1)

    def whole(suffix: str | None, **more: bool) -> Callable[[], None]:
        def once() -> None:
            with tempfile.TemporaryDirectory() as folder:
                to = None if suffix is None else Path(folder, f"out{suffix}")
                stream(options.run, options.video, to, None, Wanted(**more))

        return once

    ways = {
        "decoding alone": decode,
        "network alone": segment,
        "etc predict, overlay as .mp4": whole(".mp4"),
        "etc predict, figures alone": whole(None, measure=True),
        "etc predict, flicker as .mp4": whole(".mp4", flicker=True),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(options.rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - begin)
    height, width = images[0].shape[:2]
    threads = torch.get_num_threads()
    print(f"{len(images)} frames of {width}x{height}, {threads} CPU threads, best of {options.rounds} rounds\n")
    print("| way | frames a second | share of the slower part |\n|---|---:|---:|")
    slower = max(best["decoding alone"], best["network alone"])
    for name, seconds in best.items():
        share = f"{100 * slower / seconds:.0f} %" if name.startswith("etc") else ""
        print(f"| {name} | {len(images) / seconds:.1f} | {share} |")


if __name__ == "__main__":
    main()
