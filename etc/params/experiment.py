"""``params/experiment.yaml``: which data sets go through the chain, and which students are trained on them."""

from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, field_validator, model_validator

from etc.core.errors import UserError
from etc.core.names import Name, check_distinct, check_name
from etc.core.params_file import DIRECTORY, Params, load_file

PATH = DIRECTORY / "experiment.yaml"
# Its former name; changes there would have no effect.
_OLD_NAME = "data.yaml"
LARGEST_SEED = 2**31 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Names = Annotated[list[Name], AfterValidator(check_distinct)]


class Run(NamedTuple):
    """One student: a network, a training scheme and a seed."""

    architecture: str
    scheme: str
    seed: int

    @property
    def name(self) -> str:
        """Folder name of the run, e.g. ``pspnet18-etc-0``."""
        return f"{self.architecture}-{self.scheme}-{self.seed}"


class Group(Params):
    """Schemes that are trained with the same seeds; the runs are all their combinations."""

    schemes: Names = Field(description="names of schemes in params/student.yaml; [] trains none")
    seeds: list[Seed] = Field(min_length=1, description="one run a seed")

    @field_validator("seeds")
    @classmethod
    def _no_repeats(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed is listed twice")
        return seeds


class ExperimentParams(Params):
    """The dimensions of the experiment."""

    run: Names = Field(min_length=1, description="data sets that go through the chain")
    architectures: Annotated[list[str], AfterValidator(check_distinct)] = Field(
        min_length=1, description="student networks"
    )
    plain: Group = Field(description="students that learn without a teacher")
    distilled: Group = Field(description="students that learn from the teacher as well")
    ablation: Group = Field(description="further distilled schemes, with fewer seeds")

    @model_validator(mode="after")
    def _consistent(self) -> "ExperimentParams":
        for name in self.architectures:
            try:
                check_name(name)
            except ValueError as error:
                remedy = "give a Hugging Face model such a name under 'widths' in params/student.yaml"
                raise ValueError(f"key 'architectures' = '{name}': {error}; {remedy}") from error
        repeated = sorted(
            name for name, number in Counter(run.name.casefold() for run in self.runs()).items() if number > 1
        )
        if repeated:
            raise ValueError(f"the runs {repeated} are in two groups; keep each scheme and seed in one")
        return self

    def runs(self) -> list[Run]:
        """All students, in the order of the tables: by architecture, group, scheme, seed."""
        groups = (self.plain, self.distilled, self.ablation)
        return [
            Run(architecture, scheme, seed)
            for architecture in self.architectures
            for group in groups
            for scheme in group.schemes
            for seed in group.seeds
        ]


def load(path: Path = PATH) -> ExperimentParams:
    """Read and check ``params/experiment.yaml``.

    Raises:
        UserError: the file is missing or wrong, or one with its old name exists.
    """
    old = path.with_name(_OLD_NAME)
    if old.exists():
        raise UserError(f"{old}: this file is called {path} now; move what you have changed there and delete {old}")
    return load_file(path, ExperimentParams)
