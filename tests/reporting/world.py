"""A made-up project for the report: counts with known ratios, and a clip of simple frames."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml

from etc.core.files import write_json
from etc.dataset import manifest
from etc.dataset.label_sets import STREET
from etc.flow.store import FlowWriter
from etc.params.experiment import Run
from etc.stages.flow import frame_pairs

ROOT = Path(__file__).parents[2]
CLIPS = [f"street_{i:06}" for i in range(4)]
FRAMES = list(range(6))
HEIGHT, WIDTH = 32, 64
# The clips that have frames, and flow (of nothing that moves).
SHOWN = CLIPS[:2]


def iou_rows(clip: str, frame: int, tp: list[int], fp: list[int], fn: list[int]) -> pd.DataFrame:
    """One frame's rows of iou.parquet."""
    counts = {"class": np.arange(len(tp), dtype=np.int32), "tp": tp, "fp": fp, "fn": fn}
    return pd.DataFrame({"clip": clip, "frame": np.int32(frame), **counts})


def tc_rows(
    clip: str, source: int, intersection: list[int], union: list[int], protocol: str, flow: str = "evaluate"
) -> pd.DataFrame:
    """One pair's rows of tc.parquet for one flow and protocol.

    Two maps of n compared pixels have intersections and unions that sum to 2 n; a half pixel is cut off.
    """
    return pd.DataFrame(
        {
            "clip": clip,
            "source": np.int32(source),
            "target": np.int32(source + 1),
            "flow": flow,
            "protocol": protocol,
            "same": np.int32(np.sum(intersection)),
            "counted": np.int32((np.sum(intersection) + np.sum(union)) // 2),
            "class": np.arange(len(union), dtype=np.int32),
            "intersection": intersection,
            "union": union,
        }
    )


def random_counts(draw: np.random.Generator, quality: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of one run whose ratios lie around ``quality`` (0..1)."""
    iou, tc = [], []
    for clip in CLIPS:
        for frame in FRAMES:
            size = draw.integers(200, 2000, STREET.count)
            tp = draw.binomial(size, quality)
            iou.append(iou_rows(clip, frame, tp, draw.binomial(size, 0.1), size - tp))
            for protocol, gain in (("corrected", 0.0), ("occlusion_aware", 0.04)):
                tc.append(tc_rows(clip, frame, draw.binomial(size, quality + gain), size, protocol))
            tc.append(tc_rows(clip, frame, draw.binomial(size, quality - 0.1), size, "corrected", "compare"))
    return pd.concat(iou, ignore_index=True), pd.concat(tc, ignore_index=True)


def write_run(data: Path, run: Run, iou: pd.DataFrame, tc: pd.DataFrame, draw: np.random.Generator) -> None:
    """All that the report reads of one run."""
    folder = data / "evaluation" / run.name
    folder.mkdir(parents=True)
    iou.to_parquet(folder / "iou.parquet")
    tc.to_parquet(folder / "tc.parquet")
    arrays = {}
    for suffix, clip in zip(("", "1"), SHOWN, strict=True):
        predictions = np.stack([flip_some(label_map(frame), draw) for frame in FRAMES])
        arrays |= {f"clip{suffix}": np.array(clip), f"frames{suffix}": np.int32(FRAMES)}
        arrays[f"predictions{suffix}"] = predictions
    np.savez_compressed(folder / "sample.npz", **arrays)
    write_made(folder)
    steps = np.arange(1, 401)
    terms = [term for term in ("tl", "sf", "pf", "mf") if term in run.scheme or run.scheme == "etc"]
    curves = {"ce": 2 * np.exp(-steps / 80) + 0.2} | {term: 0.3 * np.exp(-steps / 150) + 0.02 for term in terms}
    noisy = {term: curve * draw.uniform(0.8, 1.2, len(steps)) for term, curve in curves.items()}
    history = pd.DataFrame(
        {"step": steps - 1.0, "lr": 0.01, **{term: noisy.get(term, 0.0) for term in ("ce", "tl", "sf", "pf", "mf")}}
    )
    history["total"] = history[["ce", "tl", "sf", "pf", "mf"]].sum(axis=1)
    (data / "history").mkdir(parents=True, exist_ok=True)
    history.to_parquet(data / "history" / f"{run.name}.parquet")


def write_made(folder: Path, parameters: int = 180_000, gmac: float = 0.125) -> None:
    """What an evaluation says of itself."""
    write_json(folder / "made.json", {"portable": True, "parameters": parameters, "gmac": gmac})


def write_network(data: Path, name: str, quality: float, draw: np.random.Generator) -> None:
    """All that the report reads of a labeller or teacher."""
    folder = data / "evaluation" / name
    folder.mkdir(parents=True)
    iou, tc = random_counts(draw, quality)
    iou.to_parquet(folder / "iou.parquet")
    tc.to_parquet(folder / "tc.parquet")
    write_made(folder, 2_800_000, 1.75)
    steps = pd.DataFrame({"step": np.arange(900.0), "total": 1.0, "ce": 1.0})
    steps.to_parquet(data / "history" / f"{name}.parquet")


def label_map(frame: int) -> np.ndarray:
    """A road below a sky, a building and a car that moves."""
    label = np.full((HEIGHT, WIDTH), STREET.names.index("sky"), np.uint8)
    label[18:] = STREET.names.index("road")
    label[6:18, 30:50] = STREET.names.index("building")
    label[16:24, 4 + 3 * frame : 18 + 3 * frame] = STREET.names.index("car")
    return label


def flip_some(label: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A label map with a patch of a wrong class."""
    y, x = draw.integers(0, HEIGHT - 6), draw.integers(0, WIDTH - 10)
    wrong = label.copy()
    wrong[y : y + 6, x : x + 10] = STREET.names.index("vegetation")
    return wrong


SMALL = {"plain": (["baseline"], [0, 1]), "distilled": (["etc"], [0, 1]), "ablation": (["tl"], [0])}


def make(root: Path, groups: dict[str, tuple[list[str], list[int]]] = SMALL, qualities: dict[str, float] | None = None):
    """A project folder with params/ and data/street.

    Args:
        root: an empty folder.
        groups: schemes and seeds of each group of params/experiment.yaml; those of plain and distilled are the same.
        qualities: level of the counts of each scheme, 0..1; 0.7 where it is left out.
    """
    draw = np.random.default_rng(7)
    (root / "params").mkdir()
    for name in ("report.yaml", "student.yaml"):
        shutil.copy(ROOT / "params" / name, root / "params")
    declare(root, groups)
    data = root / "data" / "street"
    for schemes, seeds in groups.values():
        for run in (Run("pspnet18", scheme, seed) for scheme in schemes for seed in seeds):
            quality = (qualities or {}).get(run.scheme, 0.7)
            iou, tc = random_counts(draw, quality)
            write_run(data, run, iou, tc, draw)
    for kind, quality in (("labeller", 0.75), ("teacher", 0.8)):
        for seed in sorted({seed for _, seeds in groups.values() for seed in seeds}):
            write_network(data, f"{kind}-{seed}", quality, draw)
    write_frames(data, draw)
    for seed in groups["plain"][1]:
        folder = data / "pseudo_labels" / str(seed)
        folder.mkdir(parents=True)
        audit(draw).to_csv(folder / "audit.csv", index=False)


def declare(root: Path, groups: dict[str, tuple[list[str], list[int]]]) -> None:
    """Write params/experiment.yaml."""
    (plain, seeds), (distilled, _), (further, some) = (groups[name] for name in ("plain", "distilled", "ablation"))
    experiment = {"run": ["street"], "architectures": ["pspnet18"], "seeds": seeds, "plain": plain}
    experiment |= {"distilled": distilled, "ablation": {"schemes": further, "seeds": some}}
    (root / "params" / "experiment.yaml").write_text(yaml.safe_dump(experiment))


def write_frames(data: Path, draw: np.random.Generator) -> None:
    """Noisy frames with their labels, the same for both clips, the manifest, and flow."""
    rows = []
    for frame in FRAMES:
        label = label_map(frame)
        image = np.clip(STREET.colour(label) + draw.normal(0, 12, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        encoded = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
        (data / "root").mkdir(parents=True, exist_ok=True)
        (data / "root" / f"{frame}.png").write_bytes(encoded)
        truth = cv2.imencode(".png", STREET.decode(label))[1].tobytes()
        (data / "root" / f"{frame}_label.png").write_bytes(truth)
        rows += [
            {
                **{"clip": clip, "frame": frame, "split": "test", "annotated": frame == 0},
                **{"image": f"{frame}.png", "label": f"{frame}_label.png", "width": WIDTH, "height": HEIGHT},
                **{"bytes": len(encoded), "checksum": manifest.checksum(encoded)},
                "label_checksum": manifest.checksum(truth),
            }
            for clip in SHOWN
        ]
    for clip in SHOWN:
        with FlowWriter(data / "flow/evaluate" / f"{clip}.arrow", "0" * 32, (HEIGHT, WIDTH)) as writer:
            for pair in frame_pairs(FRAMES, 1):
                writer.write(*pair, np.zeros((HEIGHT, WIDTH, 2), np.float32), np.ones((HEIGHT, WIDTH), bool))
    manifest.write(data / "frames.parquet", pd.DataFrame(rows), STREET)


def audit(draw: np.random.Generator) -> pd.DataFrame:
    """A table as the pseudo-label stage writes it."""
    before = draw.uniform(0.5, 0.9, STREET.count + 1)
    return pd.DataFrame(
        {
            "class": [*STREET.names, "all"],
            "predicted_pixels": 1000,
            "kept_pixels": 800,
            "kept_share": draw.uniform(0.6, 0.9, STREET.count + 1),
            "threshold": 0.6,
            "accuracy_before": before,
            "accuracy_kept": before + 0.5 * (1 - before),
        }
    )
