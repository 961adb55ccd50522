"""``params/evaluate.yaml``: on which clips and how students are judged."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from etc.core.params_file import DIRECTORY, Params, load_block

PATH = DIRECTORY / "evaluate.yaml"


class Sample(Params):
    """The sampled protocol of the paper: consistency is measured on a share of the clips."""

    share: float = Field(gt=0.0, le=1.0, description="share of the split's clips")
    seed: int = Field(ge=0, le=2**32 - 1, description="which clips")
    clips: Literal["cityscapes_tc"] | list[str] | None = Field(
        default=None, description="these clips instead of a random share"
    )

    @model_validator(mode="after")
    def _one_choice(self) -> "Sample":
        if self.clips is not None and self.share != 1:
            raise ValueError(f"sample names clips and a share of {self.share}: set share to 1 or clips to null")
        return self


class EvaluateParams(Params):
    """Split, sample and size of the evaluation."""

    split: Literal["dev", "test"] = Field(description="clips on which students are judged")
    sample: Sample
    sample_clips: int = Field(ge=1, le=20, description="clips whose predictions are kept for the pictures")
    batch: int = Field(ge=1, le=256, description="frames in one forward pass")
    fuse: bool = Field(default=True, description="make batch normalisation part of the convolutions: faster")
    fast: bool = Field(default=False, description="in bfloat16 and compiled; for GPUs")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto takes a GPU when there is one")
    threads: int = Field(ge=1, le=64, description="CPU threads; the bits of the result may depend on it")


def load(dataset: str, path: Path = PATH) -> EvaluateParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, EvaluateParams)
