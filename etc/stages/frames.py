"""Stage ``frames``: make the frames of a generated data set and the manifest that all other stages start from."""

import shutil
from pathlib import Path

from etc.datasets import street
from etc.flow.store import FlowWriter
from etc.params import frames as params

# Exact flow is stored finer than estimated flow: it serves as the truth.
EXACT_STEP = 1 / 128


def run(dataset: str, workers: int) -> str:
    """Write ``data/<dataset>/root`` and ``data/<dataset>/frames.parquet``; return the closing line.

    Clips are made in ``work/`` and moved into place at the end: both tools delete declared outputs before a stage
    starts, and a killed run shall go on with the clips that it has finished.

    Args:
        dataset: data set name.
        workers: processes; the files do not depend on it.

    Raises:
        UserError: unknown data set, or a folder that cannot be written.
    """
    settings = params.load(dataset)
    folder, scratch = Path("data") / dataset, Path("work") / dataset / "frames"
    manifest = street.generate(
        settings, scratch / "root", scratch / "frames.parquet", workers, save_exact_flow, scratch / "clips"
    )
    replace_folder(scratch / "root", folder / "root")
    shutil.move(scratch / "frames.parquet", folder / "frames.parquet")
    shutil.rmtree(scratch)
    clips = manifest["clip"].nunique()
    return f"{len(manifest)} frames in {clips} clips in {folder / 'root'}, manifest {folder / 'frames.parquet'}"


def save_exact_flow(path: Path, clip: street.Clip) -> None:
    """Write the exact flow and visibility of a clip to its flow file."""
    shape = clip.images.shape[1:3]
    with FlowWriter(path, clip.name, shape, EXACT_STEP, "exact") as writer:
        for (source, target), (flow, visible) in sorted(clip.flows.items()):
            writer.write(source, target, flow, visible)


def replace_folder(new: Path, old: Path) -> None:
    """Put the folder ``new`` where ``old`` is; ``old`` may be missing."""
    old.parent.mkdir(parents=True, exist_ok=True)
    aside = old.with_name(f".{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    shutil.move(new, old)
    shutil.rmtree(aside, ignore_errors=True)
