"""Stage ``labeller``: a network trained on the annotated frames, which then labels the others."""

from functools import partial
from pathlib import Path

from etc.datasets.labels import label_set
from etc.params import labeller as params
from etc.training import session
from etc.training.frames import frame_inputs, training_clips


def run(dataset: str) -> str:
    """Train the labeller, write ``data/<dataset>/labeller/`` and its history; return the closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    folder = Path("data") / dataset
    classes = label_set(dataset)
    return session.run(
        session.Plan(
            dataset=dataset,
            name="labeller",
            output=folder / "labeller",
            network=settings.network,
            label_set=classes,
            seed=settings.seed,
            training=settings.training,
            iterations=settings.training.iterations,
            described=settings.model_dump(),
            inputs=frame_inputs(folder),
            clips=partial(training_clips, folder, classes),
        )
    )
