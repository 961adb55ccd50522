"""``params/pretrain.yaml``: the network that the students of a chain start from."""

from pathlib import Path

from etc.core.params_file import DIRECTORY, load_block
from etc.params.training import AnnotatedParams

PATH = DIRECTORY / "pretrain.yaml"


class PretrainParams(AnnotatedParams):
    """A student network; its width is that of ``params/student.yaml``."""


def load(dataset: str, path: Path = PATH) -> PretrainParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, PretrainParams)
