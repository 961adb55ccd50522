"""Stage ``labeller``: a network trained on the annotated frames, which then labels the others."""

from pathlib import Path

from etc.params import labeller as params
from etc.stages import annotated


def run(dataset: str) -> str:
    """Train the labeller, write ``data/<dataset>/labeller/`` and its history; return the closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    output = Path("data") / dataset / "labeller"
    return annotated.train(dataset, "labeller", output, settings.network, settings.seed, settings.training)
