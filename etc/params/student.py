"""``params/student.yaml``: the networks that run in the end, and the schemes that they are trained with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator

from etc.core.errors import UserError
from etc.core.names import Name
from etc.core.params_file import DIRECTORY, FromList, Params, load_block
from etc.models.names import HUGGINGFACE, NETWORKS, SMALLEST_WIDTH, explain, is_huggingface
from etc.params.training import MotionParams, NetworkParams, Probability, SamplingParams, TermName, TrainingParams

PATH = DIRECTORY / "student.yaml"
# In the tables these are what the students learn from.
RESERVED = ("labeller", "teacher")
Scheme = Mapping[str, float]
Weight = Annotated[float, Field(gt=0, le=1000)]
Nodes = Annotated[int, Field(ge=1, le=128)]
Grid = Annotated[tuple[Nodes, Nodes], FromList]


def _width_or_model(value: object) -> int | str:
    if isinstance(value, str) and is_huggingface(value) and value != HUGGINGFACE:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and SMALLEST_WIDTH <= value <= 512 and value % 4 == 0:
        return value
    raise ValueError(
        f"give a base width, a multiple of 4 from {SMALLEST_WIDTH} to 512, or hf:NAME for the Hugging Face model NAME"
    )


Network = Annotated[int | str, PlainValidator(_width_or_model)]


class SingleFrameParams(Params):
    """The distillation term SF."""

    temperature: float = Field(gt=0, le=20, description="divides the class scores of student and teacher")
    pair_weight: float = Field(ge=0, le=1000, description="weight of the pair-wise part inside SF; 0 leaves it out")
    grid: Grid | None = Field(description="rows and columns of nodes of the pair-wise part; null takes every pixel")
    other_frames: float = Field(ge=0, le=1, description="weight of frames other than the labelled one, which has 1")
    class_weighted: bool = Field(
        description="weigh pixels by training.class_weights of the class that the teacher sees there"
    )
    min_confidence: Probability = Field(
        description="only pixels where the teacher's largest probability is at least this count"
    )


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

    widths: dict[Name, Network] = Field(
        min_length=1, description="base width of each network; a name of your own for hf:NAME"
    )
    schemes: dict[Name, dict[TermName, Weight]] = Field(min_length=1, description="weight of each term, by scheme")
    iterations_factor: dict[str, Annotated[float, Field(gt=0, le=20)]] = Field(
        description="schemes that train longer or shorter than training.iterations, and how many times"
    )
    pseudo_shares: dict[str, Probability] = Field(
        description="schemes with another share of pseudo-labels than sampling.pseudo_share"
    )
    start: Literal["pretrained", "random"] = Field(
        description="weights at the start: those of the stage pretrain, or random (with training.backbone's, if given)"
    )
    losses: LossParams
    sampling: SamplingParams
    training: TrainingParams

    @model_validator(mode="after")
    def _known(self) -> "StudentParams":
        for name, network in self.widths.items():
            if isinstance(network, int) and name not in NETWORKS:
                raise ValueError(f"widths: {explain(name)}, under a name of your own")
        for name in RESERVED:
            if name in self.schemes:
                raise ValueError(f"schemes: the tables call the {name} itself '{name}'; give the scheme another name")
        for key in ("iterations_factor", "pseudo_shares"):
            unknown = [name for name in getattr(self, key) if name not in self.schemes]
            if unknown:
                known = ", ".join(self.schemes)
                raise ValueError(f"{key}: scheme '{unknown[0]}' is not in 'schemes'; known: {known}")
        if self.losses.sf.class_weighted and self.training.class_weights is None:
            raise ValueError("losses.sf.class_weighted needs training.class_weights: give them, or set it to false")
        return self

    def scheme(self, name: str) -> Scheme:
        """Weights of the terms of a scheme.

        Raises:
            UserError: no scheme has this name.
        """
        if name not in self.schemes:
            raise UserError(f"{PATH}: no scheme '{name}'; known: {', '.join(self.schemes)}")
        return self.schemes[name]

    def pseudo_share(self, scheme: str) -> float:
        """Share of a scheme's samples whose label is a pseudo-label."""
        return self.pseudo_shares.get(scheme, self.sampling.pseudo_share)

    def network(self, architecture: str) -> NetworkParams:
        """The network with this name: one of this package with its width, or a Hugging Face model.

        Raises:
            UserError: there is none.
        """
        if architecture not in self.widths:
            raise UserError(f"{PATH}: no width for '{architecture}' under 'widths'; given: {', '.join(self.widths)}")
        network = self.widths[architecture]
        if isinstance(network, str):
            return NetworkParams(architecture=network, width=None)
        return NetworkParams(architecture=architecture, width=network)


def needs_teacher(scheme: Scheme) -> bool:
    """Whether a scheme learns from the teacher."""
    return not {"sf", "pf", "mf"}.isdisjoint(scheme)


def load(dataset: str, path: Path = PATH) -> StudentParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, StudentParams)
