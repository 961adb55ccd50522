"""The frames of a data set, and how much of each kind of work a whole run of it has."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from etc.core.errors import UserError
from etc.dataset import location, manifest
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import STREET, LabelSet
from etc.params import evaluate, flow, pseudo_labels
from etc.params import frames as frame_params
from etc.sources import registry as sources
from etc.sources.source import Frame
from etc.sources.street import street
from etc.sources.street.params import StreetParams
from etc.stages import evaluate as evaluation
from etc.stages import pseudo_labels as pseudo_stage


class Found(NamedTuple):
    """All frames of a data set, and where they are.

    Attributes:
        frames: the columns of :class:`etc.sources.source.Frame`, sorted by clip and frame.
        label_set: the classes.
        place: folder of the files; None where this project renders them.
    """

    frames: pd.DataFrame
    label_set: LabelSet
    place: Path | None


def find(dataset: str) -> Found:
    """List the frames of a data set without reading one.

    Raises:
        UserError: its folder is not found, or its frames are cut from videos and no manifest names them yet.
    """
    settings, data = frame_params.load(dataset), Dataset(dataset)
    if isinstance(settings, StreetParams):
        return Found(table(rendered(settings)), STREET, None)
    source = sources.build(dataset, settings)
    if data.manifest.is_file():
        return Found(data.frames, data.label_set, (location.external(data.root) or data.root).resolve())
    if settings.source == "video" or getattr(settings, "neighbours", 0):
        raise UserError(f"{data.manifest}: no such manifest, and frames are cut from videos; run: etc frames {dataset}")
    place = source.location.require(dataset)
    with tempfile.TemporaryDirectory() as made:
        listing = source.list(place, Path(made), workers=1)
    return Found(table(listing.frames), listing.label_set, place.resolve())


def rendered(settings: StreetParams) -> list[Frame]:
    """The frames that ``street`` will have."""
    return [
        Frame(street.clip_name(split, number), frame, split, frame == settings.annotated, "-", "-")
        for split in manifest.SPLITS
        for number in range(getattr(settings.clips, split))
        for frame in range(settings.frames_per_clip)
    ]


def table(frames: list[Frame]) -> pd.DataFrame:
    """One row a frame, sorted by clip and frame."""
    table = pd.DataFrame(frames, columns=Frame._fields)
    return table.sort_values(["clip", "frame"], ignore_index=True)


def counts(dataset: str, frames: pd.DataFrame) -> dict[str, int]:
    """How much of each kind of work a whole run has.

    Returns:
        Frames by ``frames``, ``pseudo_labels``, ``evaluate`` and ``dev`` (those that one judgement of a training
        reads), ordered pairs of frames by ``flow PURPOSE``.
    """
    flows, settings = flow.load(dataset), evaluate.load(dataset)
    found = {"frames": len(frames)}
    for purpose in type(flows).model_fields:
        one = getattr(flows, purpose)
        sizes = frames[frames["split"].isin(one.splits)].groupby("clip").size()
        # Each frame has a pair with each of those up to max_offset places behind it, and each pair its opposite.
        found[f"flow {purpose}"] = int(
            sum(2 * max(0, size - k) for size in sizes for k in range(1, one.max_offset + 1))
        )
    found["pseudo_labels"] = len(pseudo_stage.choose_frames(frames, pseudo_labels.load(dataset).stride))
    sampled = set(evaluation.sample_clips(frames, settings.split, settings.sample))
    judged = frames["clip"].isin(sampled) | (frames["label"] != "")
    found["evaluate"] = int(((frames["split"] == settings.split) & judged).sum())
    dev = frames[frames["split"] == "dev"]
    pairs = dev.groupby("clip")["frame"].transform("size") > 1
    found["dev"] = int((pairs | (dev["label"] != "")).sum())
    return found
