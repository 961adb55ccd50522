"""What a training sample costs a loader: processor time of the code here and of an earlier commit, the same samples.

    git worktree add ../earlier 0383cb3
    python benchmarks/loading.py --against ../earlier

Prints two Markdown tables: milliseconds of processor time a sample, and how many loader processes keep one GPU busy.
The frames are three of the embedded data set's, enlarged to 1024x2048 and with noise, so that their PNGs take as long
to decode as those of Cityscapes, or the first three pictures of ``--frames``. Crop and changes are those of
``params/student.yaml`` for Cityscapes, flow is stored at half size as in ``params/flow.yaml``. The ways take turns,
each in a process of its own with one thread; medians over rounds. All use the fastest kernels of the processor
(``ETC_PORTABLE=0``), as a training on a GPU should.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

SIZE, NAME, BATCH = (1024, 2048), "frames", 8
# As it was before this package, when imported, chose kernels.
ENVIRONMENT = dict(os.environ)
NOISE = 0.8  # standard deviation; enlarged frames are smooth, and their PNGs would be small and quick to decode


class Scheme(NamedTuple):
    """Frames of a sample, whether it has flow, and networks that run: 1 a forward pass, 3 with its backward pass."""

    frames: int
    flow: bool
    passes: int


# The teacher of 'etc' sees all three frames; here it is as large as the student.
SCHEMES = {"baseline": Scheme(1, False, 3), "tl": Scheme(2, True, 6), "etc": Scheme(3, True, 12)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="checkout of an earlier commit; compare with it")
    parser.add_argument("--frames", type=Path, help="folder of pictures of one size; default: make them")
    parser.add_argument("--samples", type=int, default=12, help="measured samples of each way and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--gpu-ms", type=float, default=37.0, help="a step of 'tl' with two samples on the GPU; of an H200 by default"
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]), *options.measure[1:], options.samples)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.frames)
        compare(folder, options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Measure all ways and print both tables."""
    here = Path(__file__).parents[1]
    ways = {"before": (options.against, False, False)} if options.against else {}
    ways |= {"now": (here, False, False), "decoded frames": (here, True, False)}
    ways |= {"decoded frames, changed on the GPU": (here, True, True)}
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(options.rounds):
        for scheme, (frames, flow, _) in SCHEMES.items():
            for way, (code, decoded, device) in ways.items():
                setting = {"frames": frames, "flow": flow, "decoded": decoded, "device": device}
                setting["today"] = way != "before"
                one = run(folder, code, setting, options.samples)
                found.setdefault((scheme, way), []).append(one)
    size = (folder / NAME / "root" / "0.png").stat().st_size
    print(f"PNG of {size / 1e6:.1f} MB, {options.samples} samples a round, {options.rounds} rounds\n")
    print("| scheme | code | ms a sample | times less | largest change, 1/255 |\n|---|---|---:|---:|---:|")
    cost = {key: statistics.median(one["ms"] for one in several) for key, several in found.items()}
    for scheme in SCHEMES:
        first = found[scheme, next(iter(ways))][0]
        for way in ways:
            change = np.abs(load(found[scheme, way][0]) - load(first)).max() * 255
            ratio = cost[scheme, next(iter(ways))] / cost[scheme, way]
            print(f"| {scheme} | {way} | {cost[scheme, way]:.1f} | {ratio:.1f} | {change:.2g} |")
    print(f"\n| scheme | a step of {BATCH}, ms | " + " | ".join(f"workers, {way}" for way in ways) + " |")
    print("|---|---:|" + "---:|" * len(ways))
    for scheme, (_, _, passes) in SCHEMES.items():
        step = options.gpu_ms * BATCH / 2 * passes / SCHEMES["tl"].passes
        workers = (f"{BATCH * cost[scheme, way] / step:.1f}" for way in ways)
        print(f"| {scheme} | {step:.0f} | {' | '.join(workers)} |")


def make(folder: Path, pictures: Path | None) -> None:
    """Write a data set of one clip, as the stages 'frames' and 'flow' would, and the changes to try."""
    from etc.dataset import manifest
    from etc.dataset.dataset import Dataset
    from etc.dataset.label_sets import STREET
    from etc.params import flow, frames, student
    from etc.sources.street.street import generate_clip
    from etc.stages.flow import Task, compute_clip

    clip = generate_clip(frames.load("street"), "train", 0)
    if pictures:
        images = [cv2.imread(str(path)) for path in sorted(pictures.glob("*.png"))[:3]]
    else:
        images = [enlarged(image[..., ::-1]) for image in clip.images[:3]]
    dataset = Dataset(NAME, folder)
    dataset.root.mkdir(parents=True)
    height, width = images[0].shape[:2]
    label = cv2.resize(clip.sources[1], (width, height), interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(dataset.root / "label.png"), label)
    label_content = (dataset.root / "label.png").read_bytes()
    rows = []
    for number, image in enumerate(images):
        path = dataset.root / f"{number}.png"
        cv2.imwrite(str(path), image)
        content = path.read_bytes()
        row = {"clip": "clip", "frame": number, "split": "train", "annotated": number == 1, "image": path.name}
        row |= {"label": "label.png" if number == 1 else "", "width": width, "height": height, "bytes": len(content)}
        row |= {"checksum": manifest.checksum(content)}
        rows.append(row | {"label_checksum": manifest.checksum(label_content) if number == 1 else ""})
    manifest.write(dataset.manifest, pd.DataFrame(rows), STREET)
    settings = flow.load("cityscapes").train.model_copy(update={"max_offset": 1})
    compute_clip(Task("clip", dataset, rows, settings, dataset.folder / "flow" / "train" / "clip.arrow"))
    augment = student.load("cityscapes").training.augment
    (folder / "augment.json").write_text(augment.model_dump_json())


def enlarged(image: np.ndarray) -> np.ndarray:
    """A frame at full size, uint8, with noise."""
    large = cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, NOISE, large.shape)
    return np.clip(np.rint(large + noise), 0, 255).astype(np.uint8)


def load(found: dict[str, Any]) -> np.ndarray:
    """The values of a few samples."""
    return np.load(found["samples"])


def run(folder: Path, code: Path, setting: dict[str, Any], samples: int) -> dict[str, Any]:
    """Measure the code of one checkout in a process of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--samples", str(samples), "--measure", str(folder), json.dumps(setting)]
    saved = folder / f"{len(list(folder.glob('*.npy')))}.npy"
    environment = ENVIRONMENT | threads | {"PYTHONPATH": str(code.resolve()), "ETC_PORTABLE": "0"}
    done = subprocess.run([*command, str(saved)], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"samples": saved}


def measure(folder: Path, text: str, saved: str, count: int) -> None:
    """Processor time a sample of the code that is imported here, printed as JSON; the first samples go to a file."""
    import torch

    from etc.params.training import AugmentParams
    from etc.training.batches import Parts, _start_worker, loader
    from etc.training.data import Samples

    torch.set_num_threads(1)
    # As a loader process does; its time is easier to read in this one.
    _start_worker(0)
    setting = json.loads(text)
    augment = AugmentParams(**json.loads((folder / "augment.json").read_text()))
    change = {}
    if setting["device"]:
        from etc.training.batches import on_device
        from etc.training.device_augment import Cut

        change = {"change": Cut}
    samples = Samples(clips(folder, setting), augment, 0, 2, setting["frames"], reach=1, **change)
    warm_up = 4
    batches = loader(samples, Parts(0, warm_up + count // 2, 2, 1), 0, False)
    first = [next(batches) for _ in range(warm_up)]
    start = time.process_time()
    for batch in batches:
        del batch
    seconds = time.process_time() - start
    if setting["device"]:
        first = [on_device(batch, torch.device("cpu")) for batch in first]
    # Flow in pixels, divided as colours are, so that one table holds both.
    parts = [part.float().flatten() for batch in first for part in batch[:4] if part is not None]
    np.save(saved, torch.cat(parts).numpy())
    print(json.dumps({"ms": 1000 * seconds / (count // 2 * 2)}))


def clips(folder: Path, setting: dict[str, Any]) -> Any:
    """The training clips, as this commit and the earlier one open them."""
    if setting["today"]:
        from etc.dataset.dataset import Dataset
        from etc.terms.flow import opener
        from etc.training.clips import training_clips

        dataset = Dataset(NAME, folder)
        flow = opener(dataset) if setting["flow"] else None
        # Not named where it is off, so that this file also measures commits without it.
        decoded = {"decoded": str(folder / "decoded")} if setting["decoded"] else {}
        return training_clips(dataset, flow=flow, **decoded)
    from etc.datasets.manifest import read_label_set
    from etc.training.flows import opener
    from etc.training.frames import training_clips

    place = folder / NAME
    label_set = read_label_set(place / "frames.parquet")
    return training_clips(place, label_set, flow=opener(place) if setting["flow"] else None)


if __name__ == "__main__":
    main()
