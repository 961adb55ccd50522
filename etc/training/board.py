"""What TensorBoard shows of a training that runs, where it is installed: ``tensorboard --logdir work``."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path


class Board:
    """Event files in a folder; writes nothing where TensorBoard is not installed.

    Args:
        folder: of the training, e.g. ``work/street/teacher-0``.
        step: steps that are done; what an earlier, killed run wrote of later ones is hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step)

    def __call__(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write the values of a step that are not None; they can be seen at once."""
        if self._writer is None:
            return
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Nothing more will come."""
        if self._writer is not None:
            self._writer.close()
