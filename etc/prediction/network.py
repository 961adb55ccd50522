"""The network of a run, ready to predict."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from etc.core.errors import UserError
from etc.inference import choose_device
from etc.models import weights
from etc.models.fused import fused


def load(run: Path, device: str = "auto") -> tuple[nn.Module, dict[str, Any]]:
    """The network, fused and on its device, and its config.

    Args:
        run: folder of a trained network.
        device: auto, cpu or cuda.

    Raises:
        UserError: it is no such folder, a file in it is missing or damaged, or there is no GPU.
    """
    if run.is_file():
        raise UserError(f"{run}: a file; give a trained network's folder, e.g. data/street/students/pspnet18-etc-0")
    network, config = weights.load(run)
    return fused(network).to(choose_device(device), memory_format=torch.channels_last), config
