"""``params/experiment.yaml``: which data sets go through the chain, and which students are trained on them."""

from pathlib import Path
from typing import NamedTuple

from pydantic import Field, model_validator

from etc.core.errors import UserError
from etc.core.params_file import DIRECTORY, Params, load_file

PATH = DIRECTORY / "experiment.yaml"
# Its former name; changes there would have no effect.
_OLD_NAME = "data.yaml"
# Snakemake and DVC join these names with '-', so a name may not hold one.
NAME = r"^[a-z][a-z0-9_]*$"


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

    schemes: list[str] = Field(min_length=1, description="names of schemes in params/student.yaml")
    seeds: list[int] = Field(min_length=1, description="one run a seed")

    @model_validator(mode="after")
    def _no_repeats(self) -> "Group":
        for name, values in (("schemes", self.schemes), ("seeds", self.seeds)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} {values} names one twice")
        if min(self.seeds) < 0:
            raise ValueError(f"seeds {self.seeds}: a seed is a whole number >= 0")
        return self


class ExperimentParams(Params):
    """The dimensions of the experiment."""

    run: list[str] = Field(min_length=1, description="data sets that go through the chain")
    architectures: list[str] = Field(min_length=1, description="student networks")
    plain: Group = Field(description="students that learn without a teacher")
    distilled: Group = Field(description="students that learn from the teacher as well")
    ablation: Group = Field(description="further distilled schemes, with fewer seeds")

    @model_validator(mode="after")
    def _disjoint(self) -> "ExperimentParams":
        runs = self.runs()
        names = [run.name for run in runs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"the runs {repeated} are in two groups; leave each scheme and seed in one")
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
