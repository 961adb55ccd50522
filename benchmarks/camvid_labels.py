"""TC of CamVid's labels, taken as predictions, with the right flow, none, and the flow turned round.

    python benchmarks/camvid_labels.py camvid/val camvid/valannot

Labels of a video are nearly consistent, so a wrong direction or a wrong warp shows at once. Needs a folder of frames
and one of labels (SegNet's form, ids 0..10, 11 = void) with the frames of one video. Prints a Markdown table.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from etc.dataset.label_sets import IGNORE
from etc.evaluation.protocols import PROTOCOLS
from etc.evaluation.tc import pair_counts, pool, temporal_consistency
from etc.flow import methods
from etc.flow.visibility import forward_backward_visible

CLASSES, VOID = 11, 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("labels", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    names = sorted(path.name for path in options.labels.glob("*.png"))
    dis = methods.build("dis", preset="medium")
    found = {}
    for name, following in pairwise(names):
        frames = [cv2.cvtColor(cv2.imread(str(options.frames / one)), cv2.COLOR_BGR2RGB) for one in (name, following)]
        labels = [read_label(options.labels / one) for one in (name, following)]
        flow = dis(*frames)
        visible = forward_backward_visible(flow, dis(*frames[::-1]))
        everything = np.ones_like(visible)
        for case, used, mask in (
            ("DIS", flow, visible),
            ("zero", 0 * flow, everything),
            ("DIS turned", -flow, visible),
        ):
            for protocol in PROTOCOLS:
                counts = pair_counts(*labels, used, mask, CLASSES, protocol)
                found.setdefault(case, {}).setdefault(protocol, []).append(counts)
    print(f"{names[0]} to {names[-1]}, {len(names) - 1} pairs. TC in percent.\n")
    print("| flow | " + " | ".join(PROTOCOLS) + " |\n|---|" + "---:|" * len(PROTOCOLS))
    for case, cells in found.items():
        values = [f"{100 * temporal_consistency(pool(counts), protocol):.2f}" for protocol, counts in cells.items()]
        print(f"| {case} | " + " | ".join(values) + " |")


def read_label(path: Path) -> np.ndarray:
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    label[label == VOID] = IGNORE
    return label


if __name__ == "__main__":
    main()
