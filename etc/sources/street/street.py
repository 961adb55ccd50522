"""The embedded data set: procedural clips with exact labels, flow and visibility, in the Cityscapes layout."""

import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from etc.core.errors import UserError
from etc.core.files import atomic, read_json, write_json
from etc.core.progress import track
from etc.dataset import label_sets as classes
from etc.dataset import manifest
from etc.sources.street import disturb, exact_flow, render, scene
from etc.sources.street.params import StreetParams
from etc.workers import Workers

CITY = "street"
TERMS = "Rendered by this project, under its licence (Apache-2.0)."
FOLDERS = {"train": "train", "dev": "val", "test": "test"}  # Cityscapes calls its dev split val
FIRST_SEQUENCE = {"train": 0, "dev": 100_000, "test": 200_000}

Flow = tuple[np.ndarray, np.ndarray]
SaveFlow = Callable[[Path, "Clip"], None]


@dataclass(frozen=True)
class Clip:
    """One generated clip of T frames.

    Attributes:
        name: for example "street_000003"; unique over the splits.
        split: train, dev or test.
        images: uint8 (T, H, W, 3) RGB, disturbed.
        sources: uint8 (T, H, W), Cityscapes label ids.
        flows: (t, s) to the exact flow t→s, float32 (H, W, 2) in pixels, and its visibility, bool (H, W).
    """

    name: str
    split: str
    images: np.ndarray
    sources: np.ndarray
    flows: dict[tuple[int, int], Flow]

    @cached_property
    def labels(self) -> np.ndarray:
        """Train ids, uint8 (T, H, W)."""
        return classes.STREET.encode(self.sources)


def clip_name(split: str, number: int) -> str:
    """Name of a clip; it stays the same when the number of clips in a split changes."""
    return f"{CITY}_{FIRST_SEQUENCE[split] + number:06d}"


def image_path(split: str, name: str, frame: int) -> str:
    """Path of a frame below the root."""
    return f"leftImg8bit_sequence/{FOLDERS[split]}/{CITY}/{name}_{frame:06d}_leftImg8bit.png"


def label_path(split: str, name: str, frame: int) -> str:
    """Path of a frame's dense label below the root."""
    return f"gtFine/{FOLDERS[split]}/{CITY}/{name}_{frame:06d}_gtFine_labelIds.png"


def flow_path(split: str, name: str) -> str:
    """Path of a clip's exact flow below the root."""
    return f"flow/{FOLDERS[split]}/{CITY}/{name}.arrow"


def generate_clip(params: StreetParams, split: str, number: int) -> Clip:
    """Make one clip. It depends on ``params.seed``, the split and the number alone, never on other clips.

    Raises:
        UserError: the split is unknown or the number out of range.
    """
    if split not in FOLDERS:
        raise UserError(f"split {split!r} is unknown; choose one of {', '.join(FOLDERS)}")
    if not 0 <= number < 100_000:
        raise UserError(f"clip number {number} is out of range; choose 0 to 99999")
    seed = np.random.SeedSequence((params.seed, manifest.SPLITS.index(split), number))
    scene_seed, disturbance_seed = seed.spawn(2)
    street = scene.build_scene(params, np.random.default_rng(scene_seed))
    renderer = render.Renderer(street, params.height, params.width, params.edge_samples)
    frames = range(params.frames_per_clip)
    views = [renderer.view(t) for t in frames]
    flows = {
        (t, s): exact_flow.flow_between(renderer, views[t], s, views[s])
        for t in frames
        for s in range(max(0, t - params.max_offset), min(len(frames), t + params.max_offset + 1))
        if s != t
    }
    clean = np.stack([view.image for view in views])
    return Clip(
        name=clip_name(split, number),
        split=split,
        images=disturb.to_bytes(disturb.disturb(clean, params.disturbance, disturbance_seed)),
        sources=np.stack([view.source for view in views]),
        flows=flows,
    )


def write_clip(clip: Clip, root: Path, save_flow: SaveFlow) -> dict[str, tuple[int, str]]:
    """Write the images, labels and flow of a clip. Returns (size in bytes, checksum) of each path below the root."""
    written = {}
    for frame, (image, source) in enumerate(zip(clip.images, clip.sources, strict=True)):
        for path, pixels in (
            (image_path(clip.split, clip.name, frame), image[..., ::-1]),
            (label_path(clip.split, clip.name, frame), source),
        ):
            data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
            # The manifest keeps a checksum of each image, and a clip is kept only when all its checksums hold.
            with atomic(root / path, durable=False) as stream:
                stream.write(data)
            written[path] = (len(data), manifest.checksum(data))
    path = flow_path(clip.split, clip.name)
    save_flow(root / path, clip)
    data = (root / path).read_bytes()
    written[path] = (len(data), manifest.checksum(data))
    return written


def generate(
    params: StreetParams, root: Path, manifest_path: Path, workers: int, save_flow: SaveFlow, markers: Path
) -> pd.DataFrame:
    """Make the whole data set and its manifest. The result does not depend on ``workers``.

    A clip that an earlier, perhaps killed, run finished with the same parameters and code is kept when its files are
    still as they were. Files of clips and frames that no longer belong to the data set are removed.

    Args:
        params: what to make.
        root: folder of the frames, labels and flow.
        manifest_path: the Parquet file to write.
        workers: number of processes, at least 1.
        save_flow: writes the flow of a clip to a path; a function of a module, so that processes can import it.
        markers: scratch folder that remembers which clips are complete.

    Returns:
        The manifest.

    Raises:
        UserError: a file cannot be written.
    """
    root, markers = Path(root), Path(markers)
    identity = _identity(params, save_flow)
    clips = [(split, number) for split in manifest.SPLITS for number in range(getattr(params.clips, split))]
    written = {clip: _kept(root, markers / f"{clip_name(*clip)}.json", identity) for clip in clips}
    due = [clip for clip in clips if written[clip] is None]
    with Workers(min(workers, len(due))) as pool:
        results = zip(due, pool.map(partial(_work, params, root, save_flow), due), strict=True)
        for clip, files in track(results, total=len(clips), label="frames", done=len(clips) - len(due)):
            write_json(markers / f"{clip_name(*clip)}.json", {"identity": identity, "files": files})
            written[clip] = files
    _prune(root, {path for files in written.values() for path in files})
    frames = pd.DataFrame([row for clip in clips for row in _rows(params, *clip, written[clip])])
    manifest.write(manifest_path, frames, classes.STREET, TERMS)
    return manifest.read(manifest_path)


def _work(params: StreetParams, root: Path, save_flow: SaveFlow, clip: tuple[str, int]) -> dict[str, tuple[int, str]]:
    return write_clip(generate_clip(params, *clip), root, save_flow)


def _identity(params: StreetParams, save_flow: SaveFlow) -> str:
    """Changes whenever a clip's files could change: parameters, code and the libraries that draw."""
    elsewhere = [inspect.getsource(module) for module in (classes, inspect.getmodule(save_flow))]
    sources = elsewhere + [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    versions = [np.__version__, cv2.__version__, importlib.metadata.version("embreex")]
    # How many clips there are and which frame is annotated change the manifest, not the files.
    values = params.model_dump(exclude={"clips", "annotated"})
    text = json.dumps([values, sources, versions], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _kept(root: Path, marker: Path, identity: str) -> dict[str, tuple[int, str]] | None:
    """The result of ``write_clip`` for a clip that is complete and unchanged, else None."""
    if not marker.is_file():
        return None
    record = read_json(marker)
    if record["identity"] != identity:
        return None
    for path, (size, digest) in record["files"].items():
        file = root / path
        if not file.is_file() or file.stat().st_size != size or manifest.checksum(file.read_bytes()) != digest:
            return None
    return {path: (size, digest) for path, (size, digest) in record["files"].items()}


def _prune(root: Path, wanted: set[str]) -> None:
    for pattern in (f"leftImg8bit_sequence/*/{CITY}/*.png", f"gtFine/*/{CITY}/*.png", f"flow/*/{CITY}/*.arrow"):
        for file in root.glob(pattern):
            if file.relative_to(root).as_posix() not in wanted:
                file.unlink()


def _rows(params: StreetParams, split: str, number: int, files: dict[str, tuple[int, str]]) -> list[dict]:
    name = clip_name(split, number)
    rows = []
    for frame in range(params.frames_per_clip):
        path = image_path(split, name, frame)
        size, digest = files[path]
        label = label_path(split, name, frame)
        rows.append(
            {
                "clip": name,
                "frame": frame,
                "split": split,
                "annotated": frame == params.annotated,
                "image": path,
                "label": label,
                "width": params.width,
                "height": params.height,
                "bytes": size,
                "checksum": digest,
                "label_checksum": files[label][1],
            }
        )
    return rows
