"""A trained network that is given, in place of one that is trained on the annotated frames: for data without labels."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etc.core.errors import UserError
from etc.core.files import atomic, sha256, write_json
from etc.dataset.dataset import Dataset
from etc.models import weights
from etc.training.session import HISTORY


def take(dataset: Dataset, name: str, output: Path, checkpoint: Path, checksum: str) -> str:
    """Copy a trained network to ``output`` with the files that a training would leave; return the closing line.

    Args:
        dataset: the data set; its classes must be those of the network.
        name: of the training that it stands for.
        output: folder to write.
        checkpoint: folder of the network, as the stages leave it.
        checksum: first hex digits of the SHA-256 of its weights.

    Raises:
        UserError: the network is missing, is another one, or has other classes than the data set.
    """
    found = sha256(checkpoint / weights.WEIGHTS)
    if not found.startswith(checksum.lower()):
        raise UserError(f"{checkpoint / weights.WEIGHTS}: its SHA-256 begins {found[:16]}, not {checksum}; correct one")
    network, config = weights.load(checkpoint)
    remedy = "give a network of these classes, or these classes to the data set"
    weights.check_classes(checkpoint, config, dataset.label_set.names, f"the data set '{dataset.name}'", remedy)
    weights.save(output, network, config)
    write_json(output / "timing.json", {"iterations": 0, "train_seconds": 0.0})
    none = pa.schema([(column, pa.float64()) for column in HISTORY]).empty_table()
    with atomic(dataset.folder / "history" / f"{name}.parquet") as stream:
        pq.write_table(none, stream)
    return f"{name} in {output} (taken from {checkpoint})"
