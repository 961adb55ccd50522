"""``params/student.yaml``: the networks that run in the end, and the schemes that they are trained with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from etc.errors import UserError
from etc.params.base import DIRECTORY, Params, load_block
from etc.params.training import MotionParams, SamplingParams, TrainingParams

PATH = DIRECTORY / "student.yaml"
TermName = Literal["tl", "sf", "pf", "mf"]
Scheme = Mapping[str, float]
Width = Annotated[int, Field(ge=8, le=512, multiple_of=4)]
Weight = Annotated[float, Field(gt=0, le=1000)]
Grid = tuple[Annotated[int, Field(ge=1, le=128)], Annotated[int, Field(ge=1, le=128)]]


class SingleFrameParams(Params):
    """The distillation term SF."""

    temperature: float = Field(gt=0, le=20, description="divides the class scores of student and teacher")
    pair_weight: float = Field(ge=0, le=1000, description="weight of the pair-wise part inside SF; 0 leaves it out")
    grid: Grid | None = Field(description="rows and columns of nodes of the pair-wise part; null takes every pixel")
    other_frames: float = Field(ge=0, le=1, description="weight of frames other than the labelled one, which has 1")


class PairParams(Params):
    """The distillation term PF."""

    grid: Grid | None = Field(description="rows and columns of nodes; null takes every pixel")


class MultiFrameParams(Params):
    """The distillation term MF."""

    grid: int = Field(ge=1, le=32, description="nodes along each side; the similarity image has grid^2 x grid^2 pixels")
    hidden: int = Field(ge=1, le=64, description="channels of the ConvLSTM")
    clip: float | None = Field(gt=0, le=10, description="the ConvLSTM's weights stay in -clip..clip; null: free")
    regulariser: float = Field(ge=0, le=100, description="weight of the part that enlarges the teacher's embedding")


class LossParams(Params):
    """Details of the terms; a scheme uses the blocks of its terms."""

    tl: MotionParams
    sf: SingleFrameParams
    pf: PairParams
    mf: MultiFrameParams


class StudentParams(Params):
    """Everything that trains the students."""

    widths: dict[str, Width] = Field(min_length=1, description="base width of each network")
    schemes: dict[str, dict[TermName, Weight]] = Field(min_length=1, description="weight of each term, by scheme")
    iterations_factor: dict[str, Annotated[float, Field(gt=0, le=20)]] = Field(
        description="schemes that train longer or shorter than training.iterations, and how many times"
    )
    losses: LossParams
    sampling: SamplingParams
    training: TrainingParams

    def scheme(self, name: str) -> Scheme:
        """Weights of the terms of a scheme.

        Raises:
            UserError: no scheme has this name.
        """
        if name not in self.schemes:
            raise UserError(f"{PATH}: no scheme '{name}'; known: {', '.join(self.schemes)}")
        return self.schemes[name]

    def width(self, architecture: str) -> int:
        """Base width of a network.

        Raises:
            UserError: none is given.
        """
        if architecture not in self.widths:
            raise UserError(f"{PATH}: no width for '{architecture}' under 'widths'; given: {', '.join(self.widths)}")
        return self.widths[architecture]


def needs_teacher(scheme: Scheme) -> bool:
    """Whether a scheme learns from the teacher."""
    return not {"sf", "pf", "mf"}.isdisjoint(scheme)


def load(dataset: str, path: Path = PATH) -> StudentParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, StudentParams)
