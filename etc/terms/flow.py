"""The flow files of the training clips."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from etc.core.errors import UserError
from etc.dataset.dataset import Dataset
from etc.flow.store import FlowReader


def open_flow(dataset: Dataset, clip: str) -> FlowReader:
    """Flow of one training clip.

    Raises:
        UserError: the file is missing or damaged.
    """
    return FlowReader(_flows(dataset) / f"{clip}.arrow")


def opener(dataset: Dataset) -> Callable[[str], FlowReader]:
    """Picklable function that opens the flow of a clip by its name."""
    return partial(open_flow, dataset)


def flow_inputs(dataset: Dataset) -> dict[str, str]:
    """Hash of the content keys of all flow files.

    Raises:
        UserError: there is none, or one is damaged.
    """
    paths = sorted(_flows(dataset).glob("*.arrow"))
    if not paths:
        raise UserError(f"{_flows(dataset)}: no flow; run the stage 'flow' for 'train', or train without the term tl")
    keys = [f"{path.name} {FlowReader(path).key}" for path in paths]
    return {"flow": hashlib.blake2b("\n".join(keys).encode(), digest_size=16).hexdigest()}


def _flows(dataset: Dataset) -> Path:
    return dataset.folder / "flow" / "train"
