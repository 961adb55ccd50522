"""``params/labeller.yaml``: the network that makes the pseudo-labels."""

from pathlib import Path

from pydantic import Field

from etc.params.base import DIRECTORY, Params, load_block
from etc.params.training import NetworkParams, TrainingParams

PATH = DIRECTORY / "labeller.yaml"


class LabellerParams(Params):
    """A network trained on the annotated frames alone."""

    network: NetworkParams
    seed: int = Field(ge=0, lt=2**31, description="seed of weights, batches, augmentation and dropout")
    training: TrainingParams


def load(dataset: str, path: Path = PATH) -> LabellerParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, LabellerParams)
