"""Stage ``pretrain``: the weights that every student of one architecture starts from."""

from functools import partial
from pathlib import Path

from etc.datasets.labels import label_set
from etc.params import pretrain as params
from etc.params import student
from etc.training import session
from etc.training.frames import frame_inputs, training_clips


def run(dataset: str, architecture: str) -> str:
    """Train the start of the students, write ``data/<dataset>/pretrained/<architecture>/`` and its history.

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
    settings = params.load(dataset)
    network = student.load(dataset).network(architecture)
    folder = Path("data") / dataset
    classes = label_set(dataset)
    return session.run(
        session.Plan(
            dataset=dataset,
            name=f"pretrained-{architecture}",
            output=folder / "pretrained" / architecture,
            network=network,
            label_set=classes,
            seed=settings.seed,
            training=settings.training,
            iterations=settings.training.iterations,
            described={"network": network.model_dump(), **settings.model_dump()},
            inputs=frame_inputs(folder),
            clips=partial(training_clips, folder, classes),
        )
    )
