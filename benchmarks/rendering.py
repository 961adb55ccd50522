"""What a frame of the embedded data set costs: rendering, exact flow to all neighbours, disturbance, PNG.

    python benchmarks/rendering.py

Prints milliseconds of processor time a frame on one core, mean over several clips of the shipped parameters.
"""

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import cv2

from etc.params import frames as params
from etc.sources.street.street import generate_clip, write_clip
from etc.stages.frames import save_exact_flow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=6, help="clips to render")
    clips = parser.parse_args().clips
    cv2.setNumThreads(1)
    settings = params.load("street")
    generate_clip(settings, "train", 0)
    rendering = writing = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(clips):
            start = time.process_time()
            clip = generate_clip(settings, "train", number)
            middle = time.process_time()
            write_clip(clip, Path(folder), save_exact_flow)
            rendering += middle - start
            writing += time.process_time() - middle
    frames = clips * settings.frames_per_clip
    print(f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores; {clips} clips\n")
    print("| part | ms a frame and core |\n|---|---|")
    print(f"| rendering, exact flow and visibility to t±1..{settings.max_offset} | {1000 * rendering / frames:.1f} |")
    print(f"| writing images, labels and flow | {1000 * writing / frames:.1f} |")
    print(f"| together | {1000 * (rendering + writing) / frames:.1f} |")


if __name__ == "__main__":
    main()
