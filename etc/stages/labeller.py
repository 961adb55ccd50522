"""Stage ``labeller``: a network trained on the annotated frames to label the others."""

from etc.dataset.dataset import Dataset
from etc.params import labeller as params
from etc.stages import annotated


def run(dataset: str) -> str:
    """Train the labeller, or copy a trained network; write ``data/<dataset>/labeller/`` and its history.

    Returns:
        The closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    data = Dataset(dataset)
    return annotated.run(data, "labeller", data.folder / "labeller", settings.network, settings)
