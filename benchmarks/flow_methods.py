"""End-point error of every flow method, and how well the forward-backward check finds what is visible.

    python benchmarks/flow_methods.py                          # on the embedded data set, rendered here
    python benchmarks/flow_methods.py --samples DIR            # and on real frames with published ground truth
    python benchmarks/flow_methods.py --onnx raft.onnx         # and with a network of yours
    python benchmarks/flow_methods.py --raft small large       # and RAFT of torchvision (downloads its weights)

DIR holds, as far as there: kitti/{frame1,frame2,flow_gt}.png, middlebury/rubberwhale{1,2}.png and flow_gt.flo,
chairs/00001_{img1.ppm,img2.ppm,flow.flo}. The error is over pixels whose truth is known: on the embedded data set
those whose flow stays in the frame. Prints Markdown tables; methods that are not installed or not asked for are named
below them.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.flow.estimators.estimator import Estimator
from etc.flow.io import read_flow
from etc.flow.methods import build
from etc.flow.visibility import forward_backward_visible
from etc.flow.warp import inside_frame
from etc.params import frames as params
from etc.sources.street.street import generate_clip

SAMPLES = {
    "KITTI": ("kitti/frame1.png", "kitti/frame2.png", "kitti/flow_gt.png"),
    "Middlebury": ("middlebury/rubberwhale1.png", "middlebury/rubberwhale2.png", "middlebury/flow_gt.flo"),
    "FlyingChairs": ("chairs/00001_img1.ppm", "chairs/00001_img2.ppm", "chairs/00001_flow.flo"),
}
DISTURBED, CLEAN = "street", "street, undisturbed"


@dataclass(frozen=True)
class Pair:
    """Two frames and the truth: flow, where it is known and, of generated frames, what is visible and the flow back."""

    frames: tuple[np.ndarray, np.ndarray]
    flow: np.ndarray
    known: np.ndarray
    visible: np.ndarray | None = None
    back: np.ndarray | None = None


def embedded(clips: int, disturbed: bool) -> Iterator[Pair]:
    """Consecutive frames of dev clips of the shipped parameters."""
    settings = params.load("street")
    if not disturbed:
        still = params.Disturbance(noise=0, flicker=0, blur=0, tint=0)
        settings = settings.model_copy(update={"disturbance": still})
    for number in range(clips):
        clip = generate_clip(settings, "dev", number)
        for t in range(len(clip.images) - 1):
            flow, visible = clip.flows[t, t + 1]
            yield Pair((clip.images[t], clip.images[t + 1]), flow, inside_frame(flow), visible, clip.flows[t + 1, t][0])


def samples(folder: Path) -> dict[str, Pair]:
    """The published pairs that are in the folder."""
    found = {}
    for name, files in SAMPLES.items():
        paths = [folder / file for file in files]
        if all(path.is_file() for path in paths):
            frames = [cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1].copy() for path in paths[:2]]
            found[name] = Pair((frames[0], frames[1]), *read_flow(paths[2]))
    return found


def available(arguments: argparse.Namespace) -> tuple[dict[str, Estimator], list[str]]:
    """Methods that can run, and a line for each that cannot."""
    asked = [(f"dis, {preset}", "dis", {"preset": preset}) for preset in ("ultrafast", "fast", "medium")]
    asked += [("farneback", "farneback", {})]
    asked += [(f"raft, {size}", "raft", {"size": size}) for size in arguments.raft]
    asked += [(f"onnx, {path.name}", "onnx", {"path": path}) for path in arguments.onnx]
    ready, missing = {}, []
    for label, name, options in asked:
        try:
            ready[label] = build(name, **options)
        except UserError as error:
            missing.append(f"{label}: {error}")
    missing += [f"{name}: not asked for, see --{name}" for name in ("raft", "onnx") if not getattr(arguments, name)]
    return ready, missing


def error_of(flow: np.ndarray, pair: Pair, where: np.ndarray) -> np.ndarray:
    """End-point errors in pixels of the known pixels in ``where``."""
    return np.linalg.norm(flow - pair.flow, axis=2)[pair.known & where]


def check_of_visibility(pairs: list[Pair], flows: list[np.ndarray], back: list[np.ndarray]) -> list[str]:
    """Cells of a row: the forward-backward check as a finder of occluded pixels, and the errors it leaves.

    Pixels that leave the frame, by the truth or by the flow, are known without any check and are left out.
    """
    found = right = hidden = pixels = 0
    errors: dict[str, list[np.ndarray]] = {"all": [], "kept": [], "visible": []}
    for pair, flow, returned in zip(pairs, flows, back, strict=True):
        inside = pair.known & inside_frame(flow)
        kept = forward_backward_visible(flow, returned)
        found += (~kept & inside).sum()
        hidden += (~pair.visible & inside).sum()
        right += (~kept & ~pair.visible & inside).sum()
        pixels += inside.sum()
        for name, where in (("all", inside), ("kept", inside & kept), ("visible", inside & pair.visible)):
            errors[name].append(error_of(flow, pair, where))
    shares = (hidden / pixels, found / pixels, right / max(found, 1), right / max(hidden, 1))
    return [
        *(f"{100 * share:.1f} %" for share in shares),
        *(f"{np.concatenate(parts).mean():.2f}" for parts in errors.values()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=Path, help="folder of real frames with ground truth")
    parser.add_argument("--clips", type=int, default=4, help="clips of the embedded data set")
    parser.add_argument("--raft", nargs="*", default=[], choices=["small", "large"], help="sizes of RAFT to run")
    parser.add_argument("--onnx", nargs="*", default=[], type=Path, help="ONNX networks to run")
    arguments = parser.parse_args()
    methods, missing = available(arguments)
    sets = {DISTURBED: list(embedded(arguments.clips, True)), CLEAN: list(embedded(arguments.clips, False))}
    if arguments.samples:
        sets |= {name: [pair] for name, pair in samples(arguments.samples).items()}
    zero = [[np.zeros_like(pair.flow) for pair in pairs] for pairs in sets.values()]
    exact = [
        (name, [pair.flow for pair in sets[name]], [pair.back for pair in sets[name]]) for name in (DISTURBED, CLEAN)
    ]
    errors, checks = {"none (the motion itself)": zero}, {"exact": exact[:1]}
    for label, method in methods.items():
        errors[label] = [[method(*pair.frames) for pair in pairs] for pairs in sets.values()]
        checks[label] = [
            (name, errors[label][place], [method(*pair.frames[::-1]) for pair in sets[name]])
            for place, name in enumerate((DISTURBED, CLEAN))
        ]
    print("End-point error in pixels, mean / median.\n")
    print("| method | " + " | ".join(sets) + " |\n|---|" + "---:|" * len(sets))
    for label, flows in errors.items():
        cells = []
        for pairs, estimates in zip(sets.values(), flows, strict=True):
            every = [error_of(flow, pair, pair.known) for flow, pair in zip(estimates, pairs, strict=True)]
            cells.append(f"{np.concatenate(every).mean():.2f} / {np.median(np.concatenate(every)):.2f}")
        print(f"| {label} | " + " | ".join(cells) + " |")
    sizes = ", ".join(f"{name} {len(pairs)} x {describe(pairs[0])}" for name, pairs in sets.items())
    print(f"\nPairs: {sizes}.\n")
    print(
        "Occluded pixels by the forward-backward check against the exact ones; mean end-point error of all pixels, of"
    )
    print("those that the check keeps, and of those that are visible.\n")
    print("| method | frames | occluded | found | precision | recall | error, all | kept | visible |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for label, rows in checks.items():
        for name, flows, back in rows:
            print(f"| {label} | {name} | " + " | ".join(check_of_visibility(sets[name], flows, back)) + " |")
    for line in missing:
        print(f"\nNot run: {line}")


def describe(pair: Pair) -> str:
    return f"{pair.flow.shape[1]}x{pair.flow.shape[0]}"


if __name__ == "__main__":
    main()
