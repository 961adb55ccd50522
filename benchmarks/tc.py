"""Speed and memory of TC at 1024x2048: the released script's loop and ours, on the same files, flow in the cache.

    python benchmarks/tc.py                             # ratio over 30 pairs, memory, linearity at 30, 300, 3000 pairs
    python benchmarks/tc.py --pairs 4 --linearity 8 16  # a quick look
    python benchmarks/tc.py --model                     # the metric's share when a network is evaluated directly

Makes its files in a temporary folder (about 200 MB): a few different frames, predictions and flows, hard-linked into as
many clips as asked for. Prints Markdown tables.
"""

import argparse
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import psutil

from etc.evaluation.protocols import PairCounts
from etc.evaluation.tc import pair_counts, pool
from etc.flow.io import write_flo
from etc.flow.store import FlowReader, FlowWriter

SIZE = (1024, 2048)
CLASSES = 19
# Rough shares of the classes in a street, percent.
SHARES = [33, 5, 20, 1, 1, 1, 0.2, 0.5, 14, 1, 4, 1, 0.1, 6, 0.2, 0.2, 0.2, 0.1, 0.4]
UNIQUE = 5
PAIRS_PER_CLIP = 15
TARGET_RATIO, TARGET_MEMORY, TARGET_SHARE = 10, 1e9, 0.15


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
    parser.add_argument("--pairs", type=int, default=30, help="pairs over which the two loops are compared")
    parser.add_argument("--linearity", type=int, nargs="*", default=[30, 300, 3000], help="numbers of pairs of ours")
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
        clips = link_clips(files, options.pairs, options.workers)
        print(ratio_table(files, clips, options.workers), flush=True)
        if options.linearity:
            print("\n| pairs | s | ms a pair | CPU ms a pair | peak memory |\n|---:|---:|---:|---:|---:|")
        for pairs in options.linearity:
            found = measure(ours, link_clips(files, pairs, options.workers), "corrected", options.workers)
            print(f"| {pairs} | {found.timed.seconds:.1f} | {found.row(pairs)} |", flush=True)


def ratio_table(files: Path, clips: list[Path], workers: int) -> str:
    """Run both loops over the same clips, see that their counts are the same, and put times and memory side by side."""
    reference = measure(released_loop, clips, "grid_sample")
    rows = [("released loop, one process", reference)]
    for protocol in ("etc_released", "corrected", "occlusion_aware", "vspw_released"):
        rows.append((f"ours, {workers} processes, `{protocol}`", measure(ours, clips, protocol, workers)))
    # The stand-in that was timed differs from the kernel in last bits; the counts are those of the kernel.
    intersection, union = measure(released_loop, clips, "kernel").timed.result
    counts = rows[1][1].timed.result
    if not (np.array_equal(intersection, counts.intersection) and np.array_equal(union, counts.union)):
        raise SystemExit("counts under etc_released differ from those of the released loop")
    pairs = sum(map(pairs_of, clips))
    ratios = [reference.timed.seconds / found.timed.seconds for _, found in rows]
    peak = max(found.peak for _, found in rows[1:])
    lines = ["| loop | times faster | ms a pair | CPU ms a pair | peak memory |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {ratio:.1f} | {found.row(pairs)} |" for ratio, (name, found) in zip(ratios, rows, strict=True)
    ]
    sizes = [
        f"{name} {(clips[0] / name).stat().st_size / 1e6:.2f} MB"
        for name in ("frame_0.png", "prediction_0.png", "flow_0.flo")
    ]
    stored = (clips[0] / "flow.arrow").stat().st_size / PAIRS_PER_CLIP
    notes = [
        f"{pairs} pairs; {', '.join(sizes)}, stored flow {stored / 1e6:.2f} MB a pair.",
        "Counts under `etc_released` are identical to those of the released loop.",
        f"At least {TARGET_RATIO} times faster: {'yes' if ratios[1] >= TARGET_RATIO else 'no'}. "
        f"Peak below 1 GB: {'yes' if peak < TARGET_MEMORY else 'no'}.",
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(notes)


# --- the two loops, each run by ``measure`` in a process of its own -------------------------------------------------


def released_loop(clips: list[Path], warp: str) -> Timed:
    import reference_tc

    pairs = [
        reference_tc.PairFiles(
            clip / f"frame_{number}.png",
            clip / f"frame_{number + 1}.png",
            clip / f"prediction_{number}.png",
            clip / f"prediction_{number + 1}.png",
            clip / f"flow_{number}.flo",
        )
        for clip in clips
        for number in range(pairs_of(clip))
    ]
    return timed(lambda: reference_tc.count_pairs(pairs, CLASSES, getattr(reference_tc, warp)))


def ours(clips: list[Path], protocol: str, workers: int) -> Timed:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as processes:
        # The processes start, and import, before the clock does.
        list(processes.map(time.sleep, [0.5] * workers))
        return timed(lambda: pool(processes.map(count_clip, clips, [protocol] * len(clips))))


def count_clip(clip: Path, protocol: str) -> PairCounts:
    """Pooled counts of one clip; each prediction is decoded once."""
    flows = FlowReader(clip / "flow.arrow")

    def counts() -> Iterator[PairCounts]:
        following = read_prediction(clip, 0)
        for source, target in flows.pairs[: pairs_of(clip)]:
            prediction, following = following, read_prediction(clip, target)
            yield pair_counts(prediction, following, *flows.read(source, target), CLASSES, protocol)

    return pool(counts())


def pairs_of(clip: Path) -> int:
    return len(list(clip.glob("prediction_*.png"))) - 1


def read_prediction(clip: Path, frame: int) -> np.ndarray:
    return cv2.imread(str(clip / f"prediction_{frame}.png"), cv2.IMREAD_GRAYSCALE)


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
    """User and system time of this process and its living children."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(one.user + one.system for one in times)


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


def link_clips(files: Path, pairs: int, workers: int) -> list[Path]:
    """Folders of PAIRS_PER_CLIP pairs, fewer where each worker would not get one, of links to the few real files."""
    most = min(PAIRS_PER_CLIP, -(-pairs // workers))
    clips = []
    for start in range(0, pairs, most):
        count = min(most, pairs - start)
        clip = files / "clips" / f"{start:06d}_{count}"
        clips.append(clip)
        if clip.exists():
            continue
        clip.mkdir(parents=True)
        os.link(files / "flow.arrow", clip / "flow.arrow")
        for frame in range(count + 1):
            os.link(files / f"frame_{frame % UNIQUE}.png", clip / f"frame_{frame}.png")
            os.link(files / f"prediction_{frame % UNIQUE}.png", clip / f"prediction_{frame}.png")
            os.link(files / f"flow_{frame % UNIQUE}.flo", clip / f"flow_{frame}.flo")
    return clips


def _smooth(draw: np.random.Generator, channels: int, coarse: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    noise = draw.normal(0, 1, (*coarse, channels)).astype(np.float32)
    planes = [cv2.resize(noise[..., one], size[::-1], interpolation=cv2.INTER_CUBIC) for one in range(channels)]
    return np.dstack(planes)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


if __name__ == "__main__":
    main()
