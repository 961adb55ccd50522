"""What each TC protocol reports, with each flow, for labels that are right: all below 100 is the metric's own error.

    python benchmarks/protocol_errors.py
    python benchmarks/protocol_errors.py --data data/street --run data/street/students/pspnet18-baseline-0
    python benchmarks/protocol_errors.py --onnx raft.onnx --raft small large   # with networks as well

The embedded test clips know their exact flow and visibility. Nothing is more consistent than their ground-truth labels,
so these, taken as a prediction, should score 100. For a student, the exact flow on exactly visible pixels serves as the
truth. Prints Markdown tables.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from etc.core.progress import track
from etc.dataset import label_sets as classes
from etc.dataset.dataset import Dataset
from etc.evaluation.iou import IouCounts
from etc.evaluation.protocols import PROTOCOLS
from etc.evaluation.tc import pair_counts, pixel_agreement, pool, temporal_consistency
from etc.flow import methods
from etc.flow.estimators.estimator import Estimator
from etc.flow.store import StoredFlow
from etc.flow.visibility import forward_backward_visible
from etc.params import frames as params
from etc.sources.street.street import flow_path, generate_clip

TRUTH = ("exact", "occlusion_aware")

Flow = tuple[np.ndarray, np.ndarray]


class KnownClip(NamedTuple):
    """Frames uint8 (T, H, W, 3), train ids uint8 (T, H, W), and exact flow and visibility of a pair (t, s)."""

    images: np.ndarray
    labels: np.ndarray
    exact: Callable[[int, int], Flow]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the made data set, data/street; default: render the clips")
    parser.add_argument("--run", type=Path, help="folder of a trained student, judged beside the ground truth")
    parser.add_argument("--clips", type=int, default=None, help="only the first N test clips")
    parser.add_argument("--onnx", type=Path, nargs="*", default=[], help="two-image networks")
    parser.add_argument("--raft", nargs="*", default=[], help="sizes of torchvision's RAFT, small or large")
    options = parser.parse_args()
    estimators = {"DIS, medium": methods.build("dis", preset="medium"), "Farnebäck": methods.build("farneback")}
    estimators |= {f"RAFT, {size}": methods.build("raft", size=size) for size in options.raft}
    estimators |= {path.name: methods.build("onnx", path=path) for path in options.onnx}
    flows = ("exact", *estimators, "zero")
    count = options.clips or params.load("street").clips.test
    clips = stored_clips(options.data, count) if options.data else rendered_clips(count)
    predict = student(options.run) if options.run else None

    truth: dict[tuple[str, str], list[IouCounts]] = {(flow, name): [] for flow in flows for name in PROTOCOLS}
    judged = {cell: [] for cell in truth}
    errors: dict[str, list[float]] = {flow: [] for flow in flows}
    for clip in track(clips, count, "clips"):
        maps = [(truth, clip.labels)] + ([(judged, predict(clip.images))] if predict else [])
        for source in range(len(clip.images) - 1):
            exact = clip.exact(source, source + 1)
            for flow, (used, visible) in pair_flows(clip, source, exact, estimators).items():
                errors[flow].append(float(np.linalg.norm(used - exact[0], axis=2)[exact[1]].mean()))
                for cells, ids in maps:
                    for name in PROTOCOLS:
                        counts = pair_counts(ids[source], ids[source + 1], used, visible, classes.STREET.count, name)
                        cells[flow, name].append(counts)
    pairs = len(truth[TRUTH])
    print(f"{count} test clips, {pairs} pairs. Percent. Error of the flow: mean distance on visible pixels.\n")
    print("Ground-truth labels, TC:\n")
    print(table(truth, errors, tc))
    print("\nGround-truth labels, pixel agreement:\n")
    print(table(truth, errors, agreement))
    if options.run:
        print(f"\n{options.run.name}, TC, in brackets the error against exact flow on visible pixels:\n")
        print(table(judged, errors, tc, reference=tc(judged[TRUTH], TRUTH[1])))


def rendered_clips(count: int) -> Iterator[KnownClip]:
    """The test clips of the shipped parameters, made here."""
    settings = params.load("street")
    for number in range(count):
        clip = generate_clip(settings, "test", number)
        yield KnownClip(clip.images, clip.labels, lambda source, target, clip=clip: clip.flows[source, target])


def stored_clips(folder: Path, count: int) -> Iterator[KnownClip]:
    """The test clips as the ``frames`` stage wrote them."""
    dataset = Dataset(folder.name, folder.parent)
    frames = dataset.frames[dataset.frames["split"] == "test"]
    for name, group in list(frames.groupby("clip", sort=True))[:count]:
        rows = group.to_dict("records")
        images = np.stack([dataset.image(row) for row in rows])
        ids = np.stack([dataset.label(row) for row in rows])
        yield KnownClip(images, ids, StoredFlow(dataset.root / flow_path("test", name)).read)


def student(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The trained network of a run as a function from frames to train ids."""
    from etc.inference import predict
    from etc.models import weights

    network, _ = weights.load(folder)
    return lambda images: predict(network, images, batch=4)


def pair_flows(clip: KnownClip, source: int, exact: Flow, estimators: dict[str, Estimator]) -> dict[str, Flow]:
    """Every flow of one pair with its own visibility: exact, or found by the forward-backward check."""
    flows = {"exact": exact}
    frames = clip.images[source], clip.images[source + 1]
    for name, method in estimators.items():
        forward, backward = method(*frames), method(*frames[::-1])
        flows[name] = forward, forward_backward_visible(forward, backward)
    still = np.zeros_like(exact[0])
    flows["zero"] = still, forward_backward_visible(still, still)
    return flows


def tc(counts: list[IouCounts], protocol: str) -> float:
    return 100 * temporal_consistency(pool(counts), protocol)


def agreement(counts: list[IouCounts], protocol: str) -> float:
    return 100 * pixel_agreement(pool(counts))


def table(cells: dict, errors: dict, value: Callable, reference: float | None = None) -> str:
    """A row per flow, a column per protocol."""
    lines = ["| flow | its error, px | " + " | ".join(PROTOCOLS) + " |", "|---|---:|" + "---:|" * len(PROTOCOLS)]
    for flow, error in errors.items():
        values = [value(cells[flow, name], name) for name in PROTOCOLS]
        shown = [f"{one:.2f}" + ("" if reference is None else f" ({one - reference:+.2f})") for one in values]
        lines.append(f"| {flow} | {np.mean(error):.2f} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
