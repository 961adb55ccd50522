"""A training with cross-entropy on the annotated frames alone: what the stages labeller and pretrain have in common."""

from functools import partial
from pathlib import Path

from etc.datasets import manifest
from etc.params.training import NetworkParams, TrainingParams
from etc.training import session
from etc.training.frames import frame_inputs, training_clips


def train(dataset: str, name: str, output: Path, network: NetworkParams, seed: int, training: TrainingParams) -> str:
    """Train a network, write it to ``output`` and its history; return the closing line.

    Args:
        dataset: data set name.
        name: of the training.
        output: folder of the trained network.
        network: architecture and width.
        seed: of weights, batches, augmentation and dropout.
        training: optimiser, schedule, augmentation, machine.

    Raises:
        UserError: an input is missing or wrong, or the training diverges.
    """
    folder = Path("data") / dataset
    classes = manifest.read_label_set(folder / "frames.parquet")
    return session.run(
        session.Plan(
            dataset=dataset,
            name=name,
            output=output,
            network=network,
            label_set=classes,
            seed=seed,
            training=training,
            iterations=training.iterations,
            described={"network": network.model_dump(), "seed": seed, "training": training.model_dump()},
            inputs=frame_inputs(folder),
            clips=partial(training_clips, folder, classes),
        )
    )
