"""Speed and memory of TC at 1024x2048: the released script's loop and ours, on the same files, flow in the cache.

    python benchmarks/tc.py                             # ratios over 60 pairs, then 30, 300 and 3000 pairs
    python benchmarks/tc.py --pairs 4 --linearity 8 16  # a quick look
    python benchmarks/tc.py --model                     # the metric's share when a network is evaluated directly

Makes its files in a temporary folder (about 130 MB): a few different frames, predictions and flows, hard-linked into as
many clips as asked for. Prints Markdown tables.
"""

import argparse
import functools
import os
import platform
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from measuring import Measured, Timed, measure, timed
from tc_files import CLASSES, PAIRS_PER_CLIP, SIZE, UNIQUE, link_clips, make_files

from etc.evaluation.consistency import Clip, evaluate_pairs
from etc.evaluation.iou import IouCounts
from etc.evaluation.protocols import PROTOCOLS
from etc.evaluation.tc import pair_counts, pool
from etc.flow.store import StoredFlow
from etc.measure.run import Request, evaluate_folders
from etc.workers import Workers

TARGET_MEMORY, TARGET_SHARE = 1e9, 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60, help="pairs over which the loops are compared")
    parser.add_argument("--linearity", type=int, nargs="*", default=[30, 300, 3000], help="numbers of pairs of etc tc")
    parser.add_argument("--workers", type=int, default=2, help="processes of ours")
    parser.add_argument("--model", action="store_true", help="evaluate PSPNet18 directly instead (about a minute)")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores; {SIZE[0]}x{SIZE[1]}, {CLASSES} classes\n")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        make_files(files)
        if options.model:
            print(model_table(measure(evaluate_model, files, 2)))
            return
        print(comparison(link_clips(files, options.pairs, options.workers), options.pairs, options.workers), flush=True)
        if options.linearity:
            print("\n| pairs | s | ms a pair | CPU ms a pair | peak memory |\n|---:|---:|---:|---:|---:|")
        for pairs in options.linearity:
            found = measure(command, link_clips(files, pairs, options.workers), "corrected", options.workers)
            print(f"| {pairs} | {found.timed.seconds:.1f} | {found.row(pairs)} |", flush=True)


def comparison(root: Path, pairs: int, workers: int) -> str:
    """Run all loops over the same clips, see that the counts are the same, and put times and memory side by side."""
    fast, exact = measure(released_loop, root, "grid_sample"), measure(released_loop, root, "kernel")
    rows = [("released loop, `grid_sample`", fast), ("released loop, same counts", exact)]
    for protocol in PROTOCOLS:
        rows.append((f"ours, `{protocol}`", measure(ours, root, protocol, workers)))
    for protocol in ("etc_released", "corrected"):
        rows.append((f"`etc tc`, `{protocol}`", measure(command, root, protocol, workers)))
    intersection, union = exact.timed.result
    for name, found in rows[2:]:
        counts = found.timed.result
        same = np.array_equal(counts.intersection, intersection) and np.array_equal(counts.union, union)
        if "etc_released" in name and not same:
            raise SystemExit(f"the counts of {name} differ from those of the released loop")
    lines = ["| loop | times faster | ms a pair | CPU ms a pair | peak memory |", "|---|---:|---:|---:|---:|"]
    for name, found in rows:
        lines.append(f"| {name} | {fast.timed.seconds / found.timed.seconds:.1f} | {found.row(pairs)} |")
    peak = max(found.peak for _, found in rows[2:])
    clip = next((root / "predictions").iterdir()).name
    sizes = [(root / kind / clip / f"0.{suffix}") for kind, suffix in (("frames", "png"), ("predictions", "png"))]
    stored = (root / "flow" / f"{clip}.arrow").stat().st_size / PAIRS_PER_CLIP
    return "\n".join(
        [
            *lines,
            "",
            f"{pairs} pairs; a frame has {sizes[0].stat().st_size / 1e6:.2f} MB, a prediction "
            f"{sizes[1].stat().st_size / 1e6:.2f} MB, stored flow {stored / 1e6:.2f} MB a pair. Ours in {workers} "
            "processes.",
            "Counts under `etc_released` are identical to those of the released loop in its kernel's arithmetic.",
            f"Peak of ours below 1 GB: {'yes' if peak < TARGET_MEMORY else 'no'}.",
        ]
    )


# --- what is measured, each in a process of its own -------------------------------------------------------------------


def released_loop(root: Path, warp: str) -> Timed:
    import reference_tc

    pairs = [
        reference_tc.PairFiles(
            root / "frames" / clip / f"{number}.png",
            root / "frames" / clip / f"{number + 1}.png",
            root / "predictions" / clip / f"{number}.png",
            root / "predictions" / clip / f"{number + 1}.png",
            root / "flo" / clip / f"{number}.flo",
        )
        for clip, pairs in clips_of(root).items()
        for number in range(pairs)
    ]
    return timed(lambda: reference_tc.count_pairs(pairs, CLASSES, getattr(reference_tc, warp)))


def ours(root: Path, protocol: str, workers: int) -> Timed:
    """TC and nothing else, by the functions that ``etc tc`` is made of. The processes start before the clock does."""
    clips = [
        Clip(
            name,
            [(number, number + 1) for number in range(pairs)],
            functools.partial(read_prediction, root / "predictions" / name),
            StoredFlow(root / "flow" / f"{name}.arrow"),
        )
        for name, pairs in clips_of(root).items()
    ]
    with Workers(workers) as processes:
        list(processes.map(time.sleep, [0.5] * workers))
        return timed(lambda: pool(processes.map(functools.partial(judge, protocol=protocol), clips)))


def judge(clip: Clip, protocol: str) -> IouCounts:
    return pool(result.counts[protocol] for result in evaluate_pairs([clip], CLASSES, [protocol]))


def read_prediction(folder: Path, frame: int) -> np.ndarray:
    return cv2.imread(str(folder / f"{frame}.png"), cv2.IMREAD_GRAYSCALE)


def command(root: Path, protocol: str, workers: int) -> Timed:
    """All that ``etc tc`` does: checks of every id, flips, intervals, and the start of its processes."""
    request = Request(
        root / "predictions", flow=str(root / "flow"), protocol=protocol, classes=CLASSES, workers=workers
    )
    found = timed(lambda: evaluate_folders(request))
    counts = pool(result.counts[protocol] for result in found.result.results)
    return found._replace(result=counts)


def clips_of(root: Path) -> dict[str, int]:
    """Clip name to its number of pairs."""
    return {clip.name: len(list(clip.iterdir())) - 1 for clip in sorted((root / "predictions").iterdir())}


def evaluate_model(files: Path, frames: int) -> Timed:
    """Seconds a frame of PSPNet18 on the CPU, and of the metric: flow from the store, two protocols, as the stage."""
    import torch

    from etc.inference import predict
    from etc.models.registry import build

    torch.manual_seed(0)
    network = build("pspnet18", CLASSES, 64).eval().to(memory_format=torch.channels_last)
    flows = StoredFlow(files / "flow.arrow")
    image = cv2.imread(str(files / "frame_0.png"))[None]
    predict(network, image, batch=1)
    inference = metric = 0.0
    previous = None
    for number in range(frames + 1):
        image = cv2.imread(str(files / f"frame_{number % UNIQUE}.png"))[None]
        start = time.perf_counter()
        prediction = predict(network, image, batch=1)[0]
        middle = time.perf_counter()
        if previous is not None:
            flow, visible = flows.read(number - 1, number)
            for protocol in ("corrected", "occlusion_aware"):
                pair_counts(previous, prediction, flow, visible, CLASSES, protocol)
            inference += middle - start
            metric += time.perf_counter() - middle
        previous = prediction
    return Timed((inference / frames, metric / frames), inference + metric, float("nan"))


def model_table(found: Measured) -> str:
    inference, metric = found.timed.result
    share = metric / inference
    return (
        "| PSPNet18, width 64, CPU | ms a frame |\n|---|---:|\n"
        f"| inference | {1000 * inference:.0f} |\n"
        f"| TC, `corrected` and `occlusion_aware` | {1000 * metric:.0f} |\n\n"
        f"The metric takes {100 * share:.1f} % of the inference; below {100 * TARGET_SHARE:.0f} %: "
        f"{'yes' if share < TARGET_SHARE else 'no'}."
    )


if __name__ == "__main__":
    main()
