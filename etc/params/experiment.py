"""``params/experiment.yaml``: which data sets go through how many chains, and which students are trained in them."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator, Field, model_validator

from etc.core.errors import UserError
from etc.core.names import Name, check_distinct, check_name
from etc.core.params_file import DIRECTORY, Params, load_file

PATH = DIRECTORY / "experiment.yaml"
# Its former name; changes there would have no effect.
_OLD_NAME = "data.yaml"
LARGEST_SEED = 2**31 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Names = Annotated[list[Name], AfterValidator(check_distinct)]
Kind = Literal["labeller", "teacher"]


def _no_repeats(seeds: list[int]) -> list[int]:
    if len(set(seeds)) != len(seeds):
        raise ValueError("a seed is listed twice")
    return seeds


Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(_no_repeats)]


class Run(NamedTuple):
    """One student: a network, a training scheme and the seed of its chain."""

    architecture: str
    scheme: str
    seed: int

    @property
    def name(self) -> str:
        """Folder name of the run, e.g. ``pspnet18-etc-0``."""
        return f"{self.architecture}-{self.scheme}-{self.seed}"

    @property
    def folder(self) -> str:
        """Where the network is, below the folder of the data set."""
        return f"students/{self.name}"

    @property
    def options(self) -> str:
        """What says on the command line that this network is meant."""
        return f"--architecture {self.architecture} --scheme {self.scheme} --seed {self.seed}"


class Network(NamedTuple):
    """What the students of one chain learn from: its labeller, or its teacher."""

    kind: Kind
    seed: int

    @property
    def name(self) -> str:
        """Name of its training and evaluation, e.g. ``teacher-0``."""
        return f"{self.kind}-{self.seed}"

    @property
    def folder(self) -> str:
        """Where the network is, below the folder of the data set."""
        return f"{self.kind}/{self.seed}"


class Start(NamedTuple):
    """Where the students of one architecture and chain start: their network, trained by the stage ``pretrain``."""

    architecture: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its training, e.g. ``pretrained-pspnet18-0``."""
        return f"pretrained-{self.architecture}-{self.seed}"

    @property
    def folder(self) -> str:
        """Where the network is, below the folder of the data set."""
        return f"pretrained/{self.architecture}-{self.seed}"


class Ablation(Params):
    """Distilled schemes that are trained in some of the chains."""

    schemes: Names = Field(description="names of schemes in params/student.yaml; [] trains none")
    seeds: Seeds = Field(description="some of the experiment's seeds")


class ExperimentParams(Params):
    """The dimensions of the experiment."""

    run: Names = Field(min_length=1, description="data sets that go through the chain")
    architectures: Annotated[list[str], AfterValidator(check_distinct)] = Field(
        min_length=1, description="student networks"
    )
    seeds: Seeds = Field(description="one chain each: labeller, pseudo-labels, teacher, start and students")
    plain: Names = Field(description="schemes without a teacher, trained in every chain; [] trains none")
    distilled: Names = Field(description="schemes that learn from the teacher as well, likewise")
    ablation: Ablation

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, content: dict[str, Any]) -> dict[str, Any]:
        old = [f"'{name}'" for name in ("plain", "distilled") if isinstance(content.get(name), dict)]
        if old:
            raise ValueError(
                f"{' and '.join(old)}: seeds are those of chains now and stand beside the schemes; write "
                "`seeds: [0, 1, 2]` once, then `plain: [SCHEME, ...]` and `distilled: [SCHEME, ...]`, lists of schemes "
                "alone; 'ablation' keeps its 'schemes' and 'seeds'"
            )
        return content

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentParams":
        for name in self.architectures:
            try:
                check_name(name)
            except ValueError as error:
                remedy = "give a Hugging Face model such a name under 'widths' in params/student.yaml"
                raise ValueError(f"key 'architectures' = '{name}': {error}; {remedy}") from error
            if name == "pretrained":
                # Its run pretrained-SCHEME-SEED would have the name of the start of an architecture SCHEME.
                raise ValueError(
                    "key 'architectures' = 'pretrained': the start of the students has this name; choose another"
                )
        try:
            check_distinct([scheme for schemes, _ in self.groups().values() for scheme in schemes])
        except ValueError as error:
            raise ValueError(f"scheme {error}; keep it in one of {', '.join(self.groups())}") from error
        other = [seed for seed in self.ablation.seeds if seed not in self.seeds]
        if other:
            raise ValueError(
                f"key 'ablation.seeds' = {self.ablation.seeds}: there is no chain {other[0]}; choose among {self.seeds}"
            )
        return self

    def groups(self) -> dict[str, tuple[list[str], list[int]]]:
        """Schemes and seeds of each group, by the key of its schemes."""
        return {
            "plain": (self.plain, self.seeds),
            "distilled": (self.distilled, self.seeds),
            "ablation.schemes": (self.ablation.schemes, self.ablation.seeds),
        }

    def runs(self) -> list[Run]:
        """All students, in the order of the tables: by architecture, group, scheme, seed."""
        return [
            Run(architecture, scheme, seed)
            for architecture in self.architectures
            for schemes, seeds in self.groups().values()
            for scheme in schemes
            for seed in seeds
        ]

    def starts(self) -> list[Start]:
        """What the students start from, in all chains."""
        return [Start(architecture, seed) for architecture in self.architectures for seed in self.seeds]

    def networks(self) -> list[Network]:
        """What the students learn from, in all chains."""
        return [Network(kind, seed) for kind in get_args(Kind) for seed in self.seeds]


def load(path: Path = PATH) -> ExperimentParams:
    """Read and check ``params/experiment.yaml``.

    Raises:
        UserError: the file is missing or wrong, or one with its old name exists.
    """
    old = path.with_name(_OLD_NAME)
    if old.exists():
        raise UserError(f"{old}: this file is called {path} now; move what you have changed there and delete {old}")
    return load_file(path, ExperimentParams)
