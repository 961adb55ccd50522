"""``params/pseudo_labels.yaml``: how the labeller's predictions become labels."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from etc.core.params_file import DIRECTORY, Params, load_block

PATH = DIRECTORY / "pseudo_labels.yaml"


class PseudoLabelParams(Params):
    """Test-time augmentation and confidence filter."""

    scales: list[float] = Field(min_length=1, description="factors on the frame size")
    flip: bool = Field(description="also predict the mirrored frame")
    keep_share: float = Field(
        gt=0.0, le=1.0, description="share of each class's pixels that is kept, most confident first"
    )
    min_confidence: float = Field(ge=0.0, le=1.0, description="lowest confidence that is ever kept")
    stride: int = Field(
        ge=1, le=100, description="every stride-th frame of a clip is labelled, counted from the annotated one"
    )
    batch: int = Field(ge=1, le=256, description="frames in one forward pass")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto takes a GPU when there is one")
    fast: bool = Field(default=False, description="fused, in bfloat16 and compiled; for GPUs")
    threads: int = Field(ge=1, le=64, description="CPU threads; the bits of the result may depend on it")

    @field_validator("scales")
    @classmethod
    def _sensible(cls, scales: list[float]) -> list[float]:
        if not all(0.25 <= scale <= 4.0 for scale in scales):
            raise ValueError("each scale must lie between 0.25 and 4.0")
        return scales


def load(dataset: str, path: Path = PATH) -> PseudoLabelParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, PseudoLabelParams)
