"""Stage ``pretrain``: the weights that every student of one architecture starts from."""

from etc.dataset.dataset import Dataset
from etc.params import pretrain as params
from etc.params import student
from etc.stages import annotated


def run(dataset: str, architecture: str) -> str:
    """Train the network that all students start from, or copy a trained one.

    Writes ``data/<dataset>/pretrained/<architecture>/`` and its history. The loss is cross-entropy on the annotated
    frames only. It replaces the paper's ImageNet weights (docs/experiments.md): all schemes and seeds start from the
    same network and differ only in the training that follows.

    Args:
        dataset: data set name.
        architecture: network, a key of ``widths`` in params/student.yaml.

    Returns:
        The closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    network = student.load(dataset).network(architecture)
    data = Dataset(dataset)
    output = data.folder / "pretrained" / architecture
    return annotated.run(data, f"pretrained-{architecture}", output, network, params.load(dataset))
