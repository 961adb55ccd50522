"""Speed and memory of TC at 1024x2048: the released script's loop and ours, on the same files, flow in the cache.

    python benchmarks/tc.py                             # ratios over 60 pairs, then 30, 300 and 3000 pairs
    python benchmarks/tc.py --pairs 4 --linearity 8 16  # a quick look
    python benchmarks/tc.py --model                     # the metric's share when a network is evaluated directly

Makes its files in a temporary folder (about 130 MB): a few different frames, predictions and flows, hard-linked into as
many clips as asked for. Prints Markdown tables.
"""

import argparse
import functools
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import psutil

from etc.evaluation.consistency import Clip, evaluate_pairs
from etc.evaluation.folder_run import Request, evaluate_folders
from etc.evaluation.protocols import PROTOCOLS, PairCounts
from etc.evaluation.tc import pair_counts, pool
from etc.evaluation.workers import Workers
from etc.flow.io import write_flo
from etc.flow.providers import StoredFlow
from etc.flow.store import FlowReader, FlowWriter

SIZE = (1024, 2048)
CLASSES = 19
# Rough shares of the classes in a street, percent.
SHARES = [33, 5, 20, 1, 1, 1, 0.2, 0.5, 14, 1, 4, 1, 0.1, 6, 0.2, 0.2, 0.2, 0.1, 0.4]
UNIQUE = 5
PAIRS_PER_CLIP = 15
TARGET_MEMORY, TARGET_SHARE = 1e9, 0.15


class Timed(NamedTuple):
    """What a part returns: its result, and the seconds on the clock and of processor time, start-up not counted."""

    result: Any
    seconds: float
    processor: float


class Measured(NamedTuple):
    """A timed part and the peak memory of its process tree in bytes."""

    timed: Timed
    peak: int

    def row(self, pairs: int) -> str:
        """Milliseconds a pair on the clock and of processor time, and memory, as cells of a Markdown table."""
        clock, processor = (1000 * seconds / pairs for seconds in self.timed[1:])
        return f"{clock:.0f} | {processor:.0f} | {self.peak / 1e6:.0f} MB"


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
            print(model_table(measure(evaluate_model, files, 3)))
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


def judge(clip: Clip, protocol: str) -> PairCounts:
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
    flows = FlowReader(files / "flow.arrow")
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


def timed(part: Callable[[], Any]) -> Timed:
    start, processor = time.perf_counter(), _processor_seconds()
    result = part()
    return Timed(result, time.perf_counter() - start, _processor_seconds() - processor)


def _processor_seconds() -> float:
    """User and system time of this process and its children, finished ones included."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    # What finished children took is kept by their parent.
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def measure(part: Callable[..., Timed], *arguments: Any) -> Measured:
    """Run ``part`` in a fresh process; the peak is the sum of resident memory over it and its children."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, part, *arguments))
    process.start()
    sender.close()
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        tree = psutil.Process(process.pid)
        while not done.wait(0.02):
            peak = max(peak, _resident(tree))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = receiver.recv()
    finally:
        done.set()
        watcher.join()
        process.join()
    return Measured(result, peak)


def _send(sender: Any, part: Callable, *arguments: Any) -> None:
    sender.send(part(*arguments))


def _resident(tree: psutil.Process) -> int:
    total = 0
    try:
        processes = [tree, *tree.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


# --- files ------------------------------------------------------------------------------------------------------------


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
    with FlowWriter(folder / "flow.arrow", "benchmark", SIZE) as store:
        for pair in range(PAIRS_PER_CLIP):
            store.write(pair, pair + 1, flows[pair % UNIQUE], visible)
    reader = FlowReader(folder / "flow.arrow")
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


if __name__ == "__main__":
    main()
