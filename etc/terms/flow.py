"""The flow files of the training clips."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from etc.core.errors import UserError
from etc.dataset.dataset import Dataset
from etc.flow.store import StoredFlow, content_hash
from etc.training.data import ReadFlow


def opener(dataset: Dataset) -> Callable[[str], ReadFlow]:
    """Picklable function from the name of a training clip to what reads its flow.

    The function raises ``UserError`` when the file is missing or damaged.
    """
    return partial(_open, _flows(dataset))


def flow_inputs(dataset: Dataset) -> dict[str, str]:
    """Hash of the content keys of all flow files.

    Raises:
        UserError: there is none, or one is damaged.
    """
    paths = sorted(_flows(dataset).glob("*.arrow"))
    if not paths:
        raise UserError(f"{_flows(dataset)}: no flow; run the stage 'flow' for 'train', or train without the term tl")
    return {"flow": content_hash(paths)}


def _open(flows: Path, clip: str) -> ReadFlow:
    return StoredFlow(flows / f"{clip}.arrow").read


def _flows(dataset: Dataset) -> Path:
    return dataset.folder / "flow" / "train"
