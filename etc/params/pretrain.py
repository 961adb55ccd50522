"""``params/pretrain.yaml``: the network that all students start from."""

from pathlib import Path

from pydantic import Field

from etc.params.base import DIRECTORY, Params, load_block
from etc.params.training import TrainingParams

PATH = DIRECTORY / "pretrain.yaml"


class PretrainParams(Params):
    """A student network trained on the annotated frames alone; its width is that of ``params/student.yaml``."""

    seed: int = Field(ge=0, lt=2**31, description="seed of weights, batches, augmentation and dropout")
    training: TrainingParams


def load(dataset: str, path: Path = PATH) -> PretrainParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, PretrainParams)
