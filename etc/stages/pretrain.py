"""Stage ``pretrain``: the weights that every student of one architecture starts from."""

from etc.dataset.dataset import Dataset
from etc.params import pretrain as params
from etc.params import student
from etc.stages import annotated


def run(dataset: str, architecture: str) -> str:
    """Train or take the start of the students, write ``data/<dataset>/pretrained/<architecture>/`` and its history.

    Cross-entropy on the annotated frames only. It stands where the paper has ImageNet weights (docs/experiments.md):
    all schemes and seeds start from the same network, so that they differ in what is trained afterwards.

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
