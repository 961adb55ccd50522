"""Stage ``labeller``: a network trained on the annotated frames to label the others."""

from pathlib import Path

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
    return annotated.run(dataset, "labeller", Path("data") / dataset / "labeller", settings.network, settings)
