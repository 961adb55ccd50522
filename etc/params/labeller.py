"""``params/labeller.yaml``: the network that makes the pseudo-labels."""

from pathlib import Path

from etc.core.params_file import DIRECTORY, load_block
from etc.params.training import AnnotatedParams, NetworkParams

PATH = DIRECTORY / "labeller.yaml"


class LabellerParams(AnnotatedParams):
    """The labeller; a checkpoint brings its own network and ``network`` has no effect."""

    network: NetworkParams


def load(dataset: str, path: Path = PATH) -> LabellerParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, LabellerParams)
