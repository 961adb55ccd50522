"""Stage ``labeller``: a network trained on the annotated frames to label the others."""

from etc.dataset.dataset import Dataset
from etc.params import labeller as params
from etc.params.experiment import Network
from etc.stages import annotated


def run(dataset: str, seed: int) -> str:
    """Train a labeller, or copy a trained network; write ``data/<dataset>/labeller/<seed>/`` and its history.

    Args:
        dataset: data set name.
        seed: seed of the chain, >= 0.

    Returns:
        The closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    data = Dataset(dataset)
    network = Network("labeller", seed)
    return annotated.run(data, network.name, data.folder / network.folder, settings.network, settings, seed)
