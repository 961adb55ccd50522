"""What the stages labeller and pretrain have in common: training with cross-entropy on the annotated frames alone.

A trained network may be given in its place, for data without labels.
"""

from functools import partial
from pathlib import Path

from etc.dataset.dataset import Dataset
from etc.params.training import AnnotatedParams, NetworkParams
from etc.stages import given
from etc.training import session
from etc.training.clips import frame_inputs, training_clips


def run(dataset: Dataset, name: str, output: Path, network: NetworkParams, settings: AnnotatedParams) -> str:
    """Train a network or take the given one, write it to ``output`` and its history; return the closing line.

    Args:
        dataset: the data set.
        name: of the training.
        output: folder of the trained network.
        network: architecture and width of a network that is trained.
        settings: seed and schedule, or the given network.

    Raises:
        UserError: an input is missing or wrong, or the training diverges.
    """
    if settings.checkpoint is not None:
        return given.take(dataset, name, output, Path(settings.checkpoint), settings.checksum)
    seed, training = settings.seed, settings.training
    return session.run(
        session.Plan(
            dataset=dataset,
            name=name,
            output=output,
            network=network,
            seed=seed,
            training=training,
            iterations=training.iterations,
            described={"network": network.model_dump(), "seed": seed, "training": training.model_dump()},
            inputs=frame_inputs(dataset),
            clips=partial(training_clips, dataset),
        )
    )
