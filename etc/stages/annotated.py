"""Shared by the stages labeller and pretrain: training with cross-entropy on the annotated frames alone.

For data without labels, an already trained network can be copied instead.
"""

from functools import partial
from pathlib import Path

import pyarrow as pa

from etc.core.errors import UserError
from etc.core.files import sha256
from etc.dataset.dataset import Dataset
from etc.models import weights
from etc.params.training import AnnotatedParams, NetworkParams
from etc.training import session
from etc.training.clips import frame_inputs, training_clips


def run(dataset: Dataset, name: str, output: Path, network: NetworkParams, settings: AnnotatedParams, seed: int) -> str:
    """Train a network or copy a trained one, write it to ``output`` and its history; return the closing line.

    Args:
        dataset: the data set.
        name: of the training.
        output: folder of the trained network.
        network: architecture and width of the network to train.
        settings: the schedule, or the folder and checksum of the network to copy.
        seed: seed of weights, batches, augmentation and dropout, >= 0.

    Raises:
        UserError: an input is missing or wrong, or the training diverges.
    """
    if settings.checkpoint is not None:
        return _copy_trained(dataset, name, output, Path(settings.checkpoint), settings.checksum)
    training = settings.training
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


def _copy_trained(dataset: Dataset, name: str, output: Path, checkpoint: Path, checksum: str) -> str:
    """Copy a trained network to ``output``, with all files that a training writes; return the closing line.

    Args:
        dataset: the data set; its classes must be those of the network.
        name: of the training that it replaces.
        output: folder to write.
        checkpoint: folder of the network, as written by the stages.
        checksum: first hex digits of the SHA-256 of its weights.

    Raises:
        UserError: the network is missing, has another checksum, or other classes than the data set.
    """
    found = sha256(checkpoint / weights.WEIGHTS)
    if not found.startswith(checksum.lower()):
        file = checkpoint / weights.WEIGHTS
        raise UserError(f"{file}: its SHA-256 begins {found[:16]}, not {checksum}; correct 'checkpoint' or 'checksum'")
    network, config = weights.load(checkpoint)
    remedy = "use a network of these classes, or give the data set its classes"
    weights.check_classes(checkpoint, config, dataset.label_set.names, f"the data set '{dataset.name}'", remedy)
    none = pa.schema([(column, pa.float64()) for column in session.HISTORY]).empty_table()
    session.write_trained(output, network, config, dataset.folder / "history" / f"{name}.parquet", none, 0, 0.0)
    return f"{name} in {output} (taken from {checkpoint})"
