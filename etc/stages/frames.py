"""Stage ``frames``: make or find the frames of a data set, and write the manifest that all other stages start from."""

import shutil
import sys
from pathlib import Path

import pandas as pd

from etc.core.errors import UserError, many, visible
from etc.core.files import atomic
from etc.dataset import location, manifest
from etc.dataset.dataset import Dataset
from etc.flow.precision import most_steps
from etc.flow.store import FlowWriter
from etc.params import apart
from etc.params import frames as params
from etc.params.frames import SourceParams
from etc.sources import registry
from etc.sources.check import gaps, verification
from etc.sources.check.inspection import inspect
from etc.sources.rows import listed_frames, manifest_rows
from etc.sources.source import Listing
from etc.sources.street import street
from etc.sources.street.params import StreetParams

# Exact flow is stored finer than estimated flow, where the frames are small enough: it serves as the truth.
EXACT_STEPS = 128  # per pixel


def run(dataset: str, workers: int, agreed: bool = False) -> str:
    """Write ``data/<dataset>/root`` and ``data/<dataset>/frames.parquet``; return the closing line.

    Third-party frames stay where they are: ``root`` then says where to look for them. Frames that are rendered, or cut
    from a video, are made in ``work/`` and moved into place at the end: both tools delete declared outputs before a
    stage starts, and a killed run must be able to resume.

    Args:
        dataset: data set name.
        workers: processes; the files do not depend on it.
        agreed: the user has agreed to downloads.

    Raises:
        UserError: unknown data set, frames that are missing, wrong, or where this stage would delete them, or a folder
            that cannot be written.
    """
    settings = params.load(dataset)
    apart.check_frames(dataset, settings)
    data, scratch = Dataset(dataset), Dataset("frames", Path("work") / dataset)
    if isinstance(settings, StreetParams):
        frames = street.generate(
            settings, scratch.root, scratch.manifest, workers, save_exact_flow, scratch.folder / "clips"
        )
    else:
        frames = _list(dataset, settings, scratch, workers, agreed)
    replace_folder(scratch.root, data.root)
    shutil.move(scratch.manifest, data.manifest)
    shutil.rmtree(scratch.folder)
    where = location.external(data.root) or data.root
    clips = frames["clip"].nunique()
    return f"{many(len(frames), 'frame')} in {many(clips, 'clip')} in {where}, manifest {data.manifest}"


def verify(dataset: str, workers: int) -> verification.Report:
    """Read every file of a data set and report what is wrong; only ``work/<dataset>`` is changed.

    Checks the frames of the manifest; before there is one, those that the source lists.

    Raises:
        UserError: unknown data set, or its folder is not found.
    """
    settings = params.load(dataset)
    apart.check_frames(dataset, settings)
    data = Dataset(dataset)
    if data.manifest.is_file():
        known = data.frames
        listing = Listing(listed_frames(known), data.label_set, gaps=gaps.read(data.manifest, known))
        return _look(dataset, data.root, listing, workers, known)
    if isinstance(settings, StreetParams):
        raise UserError(f"{data.manifest}: no such manifest; run: etc frames {dataset}")
    source = registry.build(dataset, settings)
    scratch = Path("work") / dataset / "verify"
    try:
        # A user's archive is unpacked for this too; nothing is downloaded.
        place = source.fetch(agreed=False) if source.location.archive else source.location.require(dataset)
        listing = source.list(place, scratch, workers)
        location.write_pointer(scratch, source.location)
        _tell(listing.notes)
        return _look(dataset, scratch, listing, workers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _look(
    dataset: str, root: Path, listing: Listing, workers: int, known: pd.DataFrame | None = None
) -> verification.Report:
    frames, label_set = listing.frames, listing.label_set
    files = inspect(root, frames, label_set, _records(dataset), workers, deep=True, label=f"verify {dataset}")
    return verification.verify(frames, files, label_set, known, listing.gaps)


def _list(dataset: str, settings: SourceParams, scratch: Dataset, workers: int, agreed: bool) -> pd.DataFrame:
    """Find the frames of a source, check their files, and write a manifest of them; returns its rows."""
    source = registry.build(dataset, settings)
    place = source.location.find()
    # Our own download may be missing what the parameters now need; nothing is added to a user's folder.
    if place is None or place == source.location.download_folder:
        place = source.fetch(agreed)
    made = scratch.root
    _keep_only_if_same(made, settings.model_dump_json())
    listing = source.list(place, made, workers)
    _tell(listing.notes)
    if any(not (made / frame.image).exists() for frame in listing.frames):
        location.write_pointer(made, source.location)
    files = inspect(made, listing.frames, listing.label_set, _records(dataset), workers, False, f"frames {dataset}")
    rows = manifest_rows(listing, files, dataset, f"'etc frames {dataset} --verify' lists them all")
    manifest.write(scratch.manifest, rows, listing.label_set, source.terms)
    gaps.add(scratch.manifest, listing.gaps)
    return rows


def _keep_only_if_same(made: Path, settings: str) -> None:
    """Empty the folder of a killed run unless it had the same parameters."""
    note = made.with_name("settings.json")
    if not (note.exists() and note.read_text(encoding="utf-8") == settings):
        shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True, exist_ok=True)
    with atomic(note, "w") as stream:
        stream.write(settings)


def _records(dataset: str) -> Path:
    return Path("work") / dataset / "inspected.parquet"


def _tell(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"note: {visible(note)}", file=sys.stderr)


def save_exact_flow(path: Path, clip: street.Clip) -> None:
    """Write the exact flow and visibility of a clip to its flow file."""
    shape = clip.images.shape[1:3]
    step = 1 / min(EXACT_STEPS, most_steps(max(shape)))
    with FlowWriter(path, clip.name, shape, step, "exact") as writer:
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
