"""``params/labeller.yaml``: the network that makes the pseudo-labels."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from etc.params.base import DIRECTORY, Params, load_block
from etc.params.training import NetworkParams, TrainingParams

PATH = DIRECTORY / "labeller.yaml"


class LabellerParams(Params):
    """A network trained on the annotated frames alone, or one that is given: then the other keys have no effect."""

    network: NetworkParams
    seed: int = Field(ge=0, lt=2**31, description="seed of weights, batches, augmentation and dropout")
    training: TrainingParams
    checkpoint: str | None = Field(None, description="folder of a trained network to take instead of training one")
    checksum: str | None = Field(
        None, pattern="^[0-9a-fA-F]{8,64}$", description="first hex digits of the SHA-256 of its weights.safetensors"
    )

    @model_validator(mode="after")
    def _named_by_content(self) -> Self:
        # The weights are not in this file, their checksum is: so other weights make the stage due.
        if self.checkpoint is not None and self.checksum is None:
            raise ValueError(f"a checkpoint needs 'checksum': sha256sum {self.checkpoint}/weights.safetensors")
        return self


def load(dataset: str, path: Path = PATH) -> LabellerParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, LabellerParams)
