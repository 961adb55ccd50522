"""Stage ``labeller``: a network trained on the annotated frames, which then labels the others."""

from pathlib import Path

from etc.params import labeller as params
from etc.stages import annotated, given


def run(dataset: str) -> str:
    """Train the labeller, or take a given one; write ``data/<dataset>/labeller/`` and its history.

    Returns:
        The closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    output = Path("data") / dataset / "labeller"
    if settings.checkpoint is not None:
        return given.take(dataset, "labeller", output, Path(settings.checkpoint), settings.checksum)
    return annotated.train(dataset, "labeller", output, settings.network, settings.seed, settings.training)
