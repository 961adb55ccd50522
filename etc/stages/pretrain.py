"""Stage ``pretrain``: the weights that the students of one architecture start from in one chain."""

from etc.dataset.dataset import Dataset
from etc.params import pretrain as params
from etc.params import student
from etc.params.experiment import Start
from etc.stages import annotated


def run(dataset: str, architecture: str, seed: int) -> str:
    """Train the network that the students of a chain start from, or copy a trained one.

    Writes ``data/<dataset>/pretrained/<architecture>-<seed>/`` and its history. The loss is cross-entropy on the
    annotated frames only. It replaces the paper's ImageNet weights (docs/experiments.md): all schemes of one seed start
    from the same network and differ only in the training that follows.

    Args:
        dataset: data set name.
        architecture: network, a key of ``widths`` in params/student.yaml.
        seed: seed of the chain, >= 0.

    Returns:
        The closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    network = student.load(dataset).network(architecture)
    data = Dataset(dataset)
    start = Start(architecture, seed)
    return annotated.run(data, start.name, data.folder / start.folder, network, params.load(dataset), seed)
