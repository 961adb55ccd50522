"""``params/teacher.yaml``: the network that the students learn from."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from etc.core.params_file import DIRECTORY, Params, load_block
from etc.params.training import MotionParams, NetworkParams, SamplingParams, TrainingParams

PATH = DIRECTORY / "teacher.yaml"


class TeacherParams(Params):
    """A network trained with cross-entropy and the temporal loss."""

    network: NetworkParams
    start: Literal["labeller", "random"] = Field(
        description="weights at the start: the labeller's, of the same network; or random"
    )
    tl: float = Field(ge=0, le=1000, description="weight of the temporal loss; 0 trains without it")
    motion: MotionParams
    sampling: SamplingParams
    training: TrainingParams


def load(dataset: str, path: Path = PATH) -> TeacherParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, TeacherParams)
