"""RAFT (Teed and Deng, "RAFT: Recurrent all-pairs field transforms for optical flow", ECCV 2020) by torchvision.

torchvision is an optional extra: ``pip install 'etc-segmentation[raft]'``. torch takes seconds to import, so it is
imported only where it is used, and other methods do not wait for it.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from etc.core.errors import UserError, first_line
from etc.core.files import cache_folder, sha256
from etc.fetch import download
from etc.flow.estimators import sizing
from etc.flow.estimators.estimator import check_frames

# torchvision's default weights of each size; the name of a file ends with the first digits of its SHA-256.
_URL = "https://download.pytorch.org/models/{}"
_FILES = {"small": "raft_small_C_T_V2-01064c6d.pth", "large": "raft_large_C_T_SKHT_V2-ff5fadd5.pth"}
# The network works at 1/8 of the frame and pools its correlations down to 1/8 of that, so it needs 128 pixels a side.
_MULTIPLE = 8
_MINIMUM = 128


class Raft:
    """torchvision's RAFT.

    Args:
        weights: file with torchvision's state dict for this size, or ``download``: torchvision's default weights are
            fetched from download.pytorch.org once, verified and kept (see ``etc.core.files.cache_folder``).
        size: ``small`` (1.0 M parameters) or ``large`` (5.3 M).
        iterations: refinements, 1 or more; trained with 12.
        device: ``auto`` (a GPU when there is one), ``cpu`` or ``cuda``.
        checksum: first hex digits of the weights' SHA-256; verified when given.

    Raises:
        UserError: torchvision is missing or does not fit torch, the weights are missing, damaged or of another size,
            or an argument is out of range.
    """

    name = "raft"

    def __init__(
        self,
        weights: str | os.PathLike = "download",
        size: str = "large",
        iterations: int = 12,
        device: str = "auto",
        checksum: str | None = None,
    ):
        if size not in _FILES:
            raise UserError(f"RAFT has no size {size!r}: choose one of {', '.join(_FILES)}")
        if iterations < 1:
            raise UserError(f"RAFT needs at least 1 iteration, not {iterations}")
        torch, torchvision, builder = _libraries(size)
        path = _downloaded(size) if weights == "download" else Path(weights)
        digest = sha256(path)
        if checksum is not None and not digest.startswith(checksum.lower()):
            raise UserError(
                f"{path}: its SHA-256 is {digest}, expected {checksum}…: use the right file, or correct 'checksum'"
            )
        self._torch, self._device = torch, _device(torch, device)
        self._network = _load(torch, builder, path, size).to(self._device).eval()
        self.parameters: dict[str, Any] = {"size": size, "iterations": iterations}
        # Another library or device changes the last bits.
        self.version = (
            f"torchvision-{torchvision.__version__} torch-{torch.__version__} {self._device} sha256-{digest[:32]}"
        )

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        check_frames(self.name, frame0, frame1)
        padded, windows = zip(*(sizing.pad(frame, _MULTIPLE, _MINIMUM) for frame in (frame0, frame1)), strict=True)
        # float32 (1, 3, H, W) in -1..1, as the weights were trained.
        first, second = (
            self._torch.from_numpy(frame).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
            for frame in padded
        )
        with self._torch.inference_mode():
            # One flow after each iteration; the last is the best.
            flow = self._network(first, second, num_flow_updates=self.parameters["iterations"])[-1]
        return sizing.crop(flow[0].permute(1, 2, 0).float().cpu().numpy(), windows[0])


def _libraries(size: str) -> tuple[Any, Any, Any]:
    """torch, torchvision, and its builder of the network."""
    import torch

    try:
        import torchvision
        from torchvision.models import optical_flow
    except (ImportError, RuntimeError, OSError) as error:
        # A torchvision that was built for another torch fails with RuntimeError or OSError.
        raise UserError(
            f"RAFT needs torchvision that fits torch {torch.__version__} ({first_line(error)}): "
            "pip install 'etc-segmentation[raft]', or use 'onnx' with RAFT as an ONNX file"
        ) from error
    return torch, torchvision, getattr(optical_flow, f"raft_{size}")


def _downloaded(size: str) -> Path:
    file = _FILES[size]
    return download(_URL.format(file), cache_folder() / file, file.removesuffix(".pth").rpartition("-")[2])


def _device(torch: Any, name: str) -> str:
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"there is no device {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("the device of RAFT is 'cuda', but torch finds no GPU; use 'auto' or 'cpu'")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _load(torch: Any, builder: Any, path: Path, size: str) -> Any:
    network = builder(weights=None, progress=False)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise UserError(
            f"{path}: not the weights of torchvision's raft_{size} ({first_line(error)[:200]}); give the right file"
        ) from error
    return network
