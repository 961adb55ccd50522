"""``params/flow.yaml``: the optical flow that students train with and that consistency is judged with."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from etc.params.base import DIRECTORY, Params, load_block

PATH = DIRECTORY / "flow.yaml"
Purpose = Literal["train", "evaluate"]


class FlowParams(Params):
    """One use of optical flow."""

    method: Literal["dis", "farneback", "exact"] = Field(description="how flow is computed")
    preset: Literal["ultrafast", "fast", "medium"] = Field(description="quality of DIS; other methods ignore it")
    splits: list[Literal["train", "dev", "test"]] = Field(min_length=1, description="splits whose clips get flow")
    max_offset: int = Field(ge=1, le=10, description="pairs (t, t+k) for all k from -max_offset to max_offset but 0")
    steps_per_pixel: int = Field(ge=1, le=128, description="flow is stored in steps of 1/steps_per_pixel pixels")
    visibility: Literal["forward_backward", "exact"] = Field(description="how occluded pixels are found")


class FlowBlock(Params):
    """Flow for training and for evaluation; each is a stage of its own."""

    train: FlowParams
    evaluate: FlowParams


def load(dataset: str, path: Path = PATH) -> FlowBlock:
    """Read and check the block of one data set."""
    return load_block(path, dataset, FlowBlock)
