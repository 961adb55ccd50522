"""A trained network as one file that runs without this package: ONNX, or a program of ``torch.export``."""

import io
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from etc.core.errors import UserError, first_line
from etc.core.files import atomic
from etc.core.outputs import check_files
from etc.models import weights
from etc.models.memory import advising, is_out_of_memory

INSTALL = "pip install 'etc-segmentation[export]'"
KEYS = ("architecture", "width", "classes", "class_names")
# How files begin: a .pt2 as a .zip, an .onnx with the number of its format's version; no text does.
_FIRST = (b"PK\x03\x04", b"\x08")
# 8192 x 8192. torch needs an example image to trace, and larger ones take gigabytes.
MOST_PIXELS = 2**26


class Segmenter(nn.Module):
    """The network with its scores resized to the image, as in ``etc.inference``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """float32 (1, 3, H, W), RGB in 0..1, to scores before softmax, float32 (1, classes, H, W)."""
        logits = self.network(image).logits
        return F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)


def export(run: Path, target: Path, size: tuple[int, int]) -> str:
    """Export the network of a run; architecture, width and classes are in the file's metadata.

    Args:
        run: folder with ``weights.safetensors`` and ``config.json``.
        target: file to write; its suffix, ``.onnx`` or ``.pt2``, decides the format.
        size: height and width of the input images.

    Returns:
        The closing line.

    Raises:
        UserError: the run is incomplete, the suffix is not supported, the image too large, a package is missing, the
            network cannot be exported, or ``target`` is a file that this function did not write.
    """
    if target.suffix not in WRITERS:
        raise UserError(f"{target}: files that end in {' or '.join(WRITERS)} can be written; name one")
    height, width = size
    if height * width > MOST_PIXELS:
        raise UserError(f"images of {height} x {width}: at most {MOST_PIXELS:,} pixels; lower --height or --width")
    check_files({target: is_export}, [run / weights.WEIGHTS, run / weights.CONFIG])
    network, config = weights.load(run)
    metadata = {key: json.dumps(config[key]) for key in KEYS}
    with warnings.catch_warnings(), advising(f"lower --height ({height}) or --width ({width})"):
        # torch's warnings about its own deprecated parts are of no use here.
        warnings.simplefilter("ignore")
        content = WRITERS[target.suffix](Segmenter(network).eval(), torch.zeros(1, 3, *size), metadata, target)
    with atomic(target) as stream:
        stream.write(content)
    return f"{run} exported to {target} for images of {height} x {width} ({len(content) / 1e6:.1f} MB)"


def is_export(path: Path) -> bool:
    """Whether a file was written by :func:`export`: both formats hold the names of the metadata as they are."""
    content = path.read_bytes()
    return content.startswith(_FIRST) and all(key.encode() in content for key in KEYS)


def _pt2(network: nn.Module, image: Tensor, metadata: dict[str, str], target: Path) -> bytes:
    stream = io.BytesIO()
    torch.export.save(_traced(network, image, target), stream, extra_files=metadata)
    return stream.getvalue()


def _onnx(network: nn.Module, image: Tensor, metadata: dict[str, str], target: Path) -> bytes:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{target}: writing ONNX needs the packages onnx and onnxscript; run {INSTALL}") from error
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        program: Any = torch.onnx.export(
            _traced(network, image, target), input_names=["image"], output_names=["scores"], verbose=False
        )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    model = program.model_proto
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


def _traced(network: nn.Module, image: Tensor, target: Path) -> ExportedProgram:
    try:
        with torch.no_grad():
            return torch.export.export(network, (image,))
    except Exception as error:  # tracing raises errors of many kinds
        if is_out_of_memory(error):
            raise
        height, width = image.shape[2:]
        raise UserError(
            f"{target}: this network cannot be exported for {height} x {width} ({first_line(error)})"
        ) from error


WRITERS: dict[str, Callable[[nn.Module, Tensor, dict[str, str], Path], bytes]] = {".onnx": _onnx, ".pt2": _pt2}
