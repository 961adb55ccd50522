"""``params/flow.yaml``: the optical flow that students train with and that consistency is judged with."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from etc.core.errors import UserError
from etc.core.params_file import DIRECTORY, Params, WholeNumber, load_block
from etc.flow.precision import most_steps

PATH = DIRECTORY / "flow.yaml"


class OnnxParams(Params):
    """How an ONNX network wants its two images. The defaults fit RAFT of the OpenCV model zoo."""

    inputs: list[str] | None = Field(
        None, min_length=2, max_length=2, description="names of the inputs of the first and the second image"
    )
    output: str | None = Field(None, description="name of the output that holds the flow")
    layout: Literal["nchw", "nhwc"] = Field("nchw", description="order of the dimensions of images and flow")
    value_range: Literal["0..255", "0..1", "-1..1"] = Field(
        "0..255", description="range of the pixel values that it expects"
    )
    colour: Literal["rgb", "bgr"] = Field("rgb", description="order of the channels")
    multiple: int = Field(8, ge=1, le=256, description="a network of free size gets multiples of this, pixels")


class FlowParams(Params):
    """One use of optical flow. Keys that the chosen method does not need are ignored."""

    method: Literal["dis", "farneback", "raft", "onnx", "folder", "exact"] = Field(description="how flow is computed")
    preset: Literal["ultrafast", "fast", "medium"] | None = Field(None, description="dis: quality")
    size: Literal["small", "large"] | None = Field(None, description="raft: size of the network")
    iterations: int | None = Field(None, ge=1, le=100, description="raft: refinements of the flow")
    path: str | None = Field(
        None, description="onnx: the network's file; folder: the folder; raft: the weights' file, null = download them"
    )
    checksum: str | None = Field(
        None,
        pattern="^[0-9a-fA-F]{8,64}$",
        description="onnx, raft: first hex digits of the SHA-256 of the file 'path'",
    )
    network: OnnxParams | None = Field(None, description="onnx: how the network wants its images")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="onnx, raft: auto takes a GPU when there is one")
    splits: list[Literal["train", "dev", "test"]] = Field(min_length=1, description="splits whose clips get flow")
    max_offset: int = Field(ge=1, le=10, description="pairs (t, t+k) for all k from -max_offset to max_offset but 0")
    steps_per_pixel: int = Field(ge=1, le=128, description="flow is stored in steps of 1/steps_per_pixel pixels")
    scale: Annotated[Literal[1, 2, 4], WholeNumber] = Field(
        1, description="flow is stored at 1/scale of the frame's height and width"
    )
    visibility: Literal["forward_backward", "exact"] = Field(description="how occluded pixels are found")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method in ("onnx", "folder") and self.path is None:
            raise ValueError(f"method {self.method} needs 'path'")
        # The network is not in this file but its checksum is, so a changed network makes the stage due.
        if self.method in ("onnx", "raft") and self.path is not None and self.checksum is None:
            raise ValueError(f"method {self.method} with a file of your own needs 'checksum': sha256sum {self.path}")
        return self

    def options(self) -> dict[str, Any]:
        """Arguments of ``etc.flow.methods.build`` for the chosen estimator, without those left at their defaults."""
        network = (self.network or OnnxParams()).model_dump()
        if network["inputs"]:
            network["inputs"] = tuple(network["inputs"])
        names = {
            "dis": {"preset": self.preset},
            "raft": {
                "weights": self.path,
                "size": self.size,
                "iterations": self.iterations,
                "device": self.device,
                "checksum": self.checksum if self.path else None,
            },
            "onnx": {
                **network,
                "path": self.path,
                "device": self.device,
                "checksum": self.checksum,
            },
        }
        return {name: value for name, value in names.get(self.method, {}).items() if value is not None}


class FlowBlock(Params):
    """Flow for training and for evaluation; each is a stage of its own."""

    train: FlowParams
    evaluate: FlowParams
    compare: FlowParams


def check_precision(dataset: str, purpose: str, params: FlowParams, size: tuple[int, int]) -> None:
    """Flow of these frames can be stored in the steps that are asked for.

    Args:
        dataset: name of the data set.
        purpose: name of the block in ``FlowBlock``.
        params: that block.
        size: height and width of the largest frames, pixels.

    Raises:
        UserError: the steps are too fine; it names the key and how many there may be.
    """
    most = most_steps(max(size))
    if params.steps_per_pixel > most:
        raise UserError(
            f"{PATH}: key '{dataset}.{purpose}.steps_per_pixel' = {params.steps_per_pixel}: too fine for the flow of "
            f"frames of {size[1]}x{size[0]} pixels; use at most {most}"
        )


def load(dataset: str, path: Path = PATH) -> FlowBlock:
    """Read and check the block of one data set."""
    return load_block(path, dataset, FlowBlock)
