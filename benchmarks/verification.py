"""What it costs to verify a data set: against a plain loop over its pictures, once more, and with 150,000 frames.

    python -m benchmarks.verification
    python -m benchmarks.verification --root cityscapes --images '**/*_leftImg8bit.png' --labels '**/*_labelIds.png'

The plain loop is cv2.imread of every file, and np.unique of labels, in one process; ours also takes checksums, finds
truncated files and counts the pixels of each class. All runs find the files in the page cache, each is a process of its
own, and they take turns. The many frames are tiny, linked files: they show what is spent beside reading. Prints
Markdown tables.
"""

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.measuring import Measured, Timed, measure, timed
from etc.commands import verification_text
from etc.dataset import manifest
from etc.dataset.label_sets import CITYSCAPES
from etc.sources.check import verification
from etc.sources.check.inspection import inspect
from etc.sources.source import Frame

SIZE = (1024, 2048)
UNIQUE = 20
FRAMES_PER_CLIP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300, help="frames with labels to make and verify")
    parser.add_argument("--root", type=Path, help="verify the files of this folder in their place")
    parser.add_argument("--images", default="**/*_leftImg8bit.png", help="images below it")
    parser.add_argument("--labels", default="**/*_labelIds.png", help="labels below it")
    parser.add_argument("--many", type=int, default=150_000, help="tiny frames of the second table")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind; medians are printed")
    options = parser.parse_args()
    print(f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, OpenCV {cv2.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if options.root:
            root, frames = options.root.resolve(), find_frames(options.root.resolve(), options.images, options.labels)
        else:
            root, frames = scratch / "frames", make_frames(scratch / "frames", options.frames)
        compare(root, frames, scratch / "records.parquet", options.repeats)
        verify_many(scratch / "many", options.many, options.repeats)


def compare(root: Path, frames: list[Frame], records: Path, repeats: int) -> None:
    parts = {
        "plain loop": (plain_loop, root, frames),
        "deep, 1 worker": (inspect_afresh, root, frames, records, 1, True),
        "deep, 2 workers": (inspect_afresh, root, frames, records, 2, True),
        "shallow, 2 workers": (inspect_afresh, root, frames, records, 2, False),
    }
    plain_loop(root, frames)  # Fills the page cache.
    runs: dict[str, list[Measured]] = {name: [] for name in [*parts, "again, unchanged"]}
    for _ in range(repeats):
        for name, part in parts.items():
            runs[name].append(measure(*part))
            if name == "deep, 2 workers":
                runs["again, unchanged"].append(measure(inspect_again, root, frames, records, 2))
    labels = sum(bool(one.label) for one in frames)
    size = sum((root / name).stat().st_size for one in frames for name in (one.image, one.label) if name)
    print(f"{len(frames)} images and {labels} labels, {size / 1e6:.0f} MB, medians of {repeats} runs.\n")
    print("| run | seconds | ms a file | times as fast | processor seconds | times as little | peak memory |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    plain = runs["plain loop"]
    for name, results in runs.items():
        cells = [
            f"{median(results):.2f}",
            f"{1000 * median(results) / (len(frames) + labels):.2f}",
            f"{median(plain) / median(results):.2f}",
            f"{median(results, 'processor'):.2f}",
            f"{median(plain, 'processor') / median(results, 'processor'):.2f}",
        ]
        print(f"| {name} | {' | '.join(cells)} | {max(one.peak for one in results) / 1e6:.0f} MB |")


def verify_many(root: Path, count: int, repeats: int) -> None:
    frames = make_many(root, count)
    records, path = root.parent / "many.parquet", root.parent / "frames.parquet"
    first = measure(inspect_afresh, root, frames, records, 2, True)
    files = inspect(root, frames, CITYSCAPES, records, 2, True, "again").set_index("path")
    rows = pd.DataFrame(frames)
    rows = rows.join(files[["width", "height", "bytes", "checksum"]], on="image").assign(label_checksum="")
    manifest.write(path, rows, CITYSCAPES)
    parts = {
        "first verification, 2 workers": [first],
        "again, unchanged": [measure(inspect_again, root, frames, records, 2) for _ in range(repeats)],
        "report, its text and its table": [measure(report, frames, files.reset_index()) for _ in range(repeats)],
        "reading the manifest": [measure(read_manifest, path) for _ in range(repeats)],
    }
    print(f"\n{count:,} tiny frames, medians of {repeats} runs, of the first one run.\n")
    print("| step | seconds | processor seconds | peak memory |\n|---|---:|---:|---:|")
    for name, results in parts.items():
        cells = f"{median(results):.2f} | {median(results, 'processor'):.2f}"
        print(f"| {name} | {cells} | {max(one.peak for one in results) / 1e6:.0f} MB |")


def plain_loop(root: Path, frames: list[Frame]) -> Timed:
    def loop() -> None:
        for one in frames:
            cv2.imread(str(root / one.image))
            if one.label:
                np.unique(cv2.imread(str(root / one.label), cv2.IMREAD_UNCHANGED))

    return timed(loop)


def inspect_afresh(root: Path, frames: list[Frame], records: Path, workers: int, deep: bool) -> Timed:
    records.unlink(missing_ok=True)
    return timed(lambda: _sound(inspect(root, frames, CITYSCAPES, records, workers, deep, "verify")))


def inspect_again(root: Path, frames: list[Frame], records: Path, workers: int) -> Timed:
    return timed(lambda: _sound(inspect(root, frames, CITYSCAPES, records, workers, True, "verify")))


def report(frames: list[Frame], files: pd.DataFrame) -> Timed:
    def everything() -> None:
        found = verification.verify(frames, files, CITYSCAPES)
        verification_text.text(found)
        verification.table(found)

    return timed(everything)


def read_manifest(path: Path) -> Timed:
    return timed(lambda: len(manifest.read(path)))


def _sound(files: pd.DataFrame) -> int:
    """A run that finds problems may have skipped work."""
    if files["problem"].ne("").any():
        row = files[files["problem"].ne("")].iloc[0]
        raise SystemExit(f"{row['path']}: {row['problem']} {row['detail']}; measure a sound data set")
    return len(files)


def median(runs: list[Measured], column: str = "seconds") -> float:
    return statistics.median(getattr(one.timed, column) for one in runs)


def find_frames(root: Path, images: str, labels: str) -> list[Frame]:
    """The files of a folder; which label belongs to which image does not matter here."""
    found = [[path.relative_to(root).as_posix() for path in sorted(root.glob(one))] for one in (images, labels)]
    if not found[0]:
        raise SystemExit(f"{root}: no file matches {images}; give another pattern by --images")
    names = found[1][: len(found[0])] + [""] * (len(found[0]) - len(found[1]))
    return [Frame("all", number, "test", False, *pair) for number, pair in enumerate(zip(found[0], names, strict=True))]


def make_frames(root: Path, count: int) -> list[Frame]:
    """UNIQUE frames of texture and noise, as large as a Cityscapes PNG, with smooth labels, and links to them."""
    root.mkdir()
    draw = np.random.default_rng(0)
    height, width = SIZE
    texture = cv2.resize(draw.normal(110, 45, (height // 32, width // 32, 3)).astype(np.float32), (width, height))
    frame = np.clip(texture + draw.normal(0, 0.8, (height, width, 1)).astype(np.float32), 0, 255).astype(np.uint8)
    scores = [
        cv2.resize(draw.normal(size=(8, 16)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(CITYSCAPES.count)
    ]
    label = CITYSCAPES.decode(np.argmax(scores, axis=0).astype(np.uint8))
    frames = []
    for number in range(count):
        one = Frame("made", number, "train", True, f"{number:06d}.png", f"{number:06d}_labelIds.png")
        for name, pixels in ((one.image, frame), (one.label, label)):
            if number < UNIQUE:
                cv2.imwrite(str(root / name), np.roll(pixels, 8 * number, axis=1))
            else:
                os.link(root / name.replace(f"{number:06d}", f"{number % UNIQUE:06d}"), root / name)
        frames.append(one)
    return frames


def make_many(root: Path, count: int) -> list[Frame]:
    """Tiny frames, those of a clip linked to one file, in folders of their clips."""
    frames = []
    for number in range(count):
        clip, place = divmod(number, FRAMES_PER_CLIP)
        one = Frame(f"clip_{clip:06d}", place, "train", False, f"clip_{clip:06d}/{place:06d}_leftImg8bit.png")
        if place == 0:
            (root / one.image).parent.mkdir(parents=True)
            pixels = np.full((8, 16, 3), (clip >> 16 & 255, clip >> 8 & 255, clip & 255), np.uint8)
            cv2.imwrite(str(root / one.image), pixels)
            first = root / one.image
        else:
            os.link(first, root / one.image)
        frames.append(one)
    return frames


if __name__ == "__main__":
    main()
