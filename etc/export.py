"""A trained network as one file that runs without this package: ONNX, or a program of ``torch.export``."""

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from etc.colours import label_set_of
from etc.core.errors import UserError, first_line
from etc.core.files import atomic
from etc.core.outputs import check_files
from etc.models import weights
from etc.models.efficientnet_lite import SameConv2d
from etc.models.memory import advising, is_out_of_memory

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INSTALL = "pip install 'etc-segmentation[export]'"
KEYS = ("architecture", "width", "classes", "class_names", "palette")
# Of the ONNX operators; the newest that torch writes by itself.
OPSET = 20
# How files begin: a .pt2 as a .zip, an .onnx with the number of its format's version; no text does.
_FIRST = (b"PK\x03\x04", b"\x08")
# 8192 x 8192. torch needs an example image to trace, and larger ones take gigabytes.
MOST_PIXELS = 2**26
# Sides of images whose size is left open. Multiples of 32: maps of all strides then have whole sizes, and a program
# fits all of them. From 224 on: the averages of the pyramid pooling (6 x 6 at a 32nd) are smaller than their map.
STEP, LEAST, _MOST_SIDE = 32, 224, 2**14
# Largest difference of a score that passes, as a share of the largest score: sums in another order, nothing more.
TOLERANCE = 1e-3


class Written(NamedTuple):
    """An exported network.

    Attributes:
        content: of the file.
        format: its name and version.
        by: who runs it below.
        run: computes scores from an image, from the content alone.
    """

    content: bytes
    format: str
    by: str
    run: Callable[[Tensor], Tensor]


class Segmenter(nn.Module):
    """The network with its scores resized to the image, as in ``etc.inference``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """float32 (1, 3, H, W), RGB in 0..1, to scores before softmax, float32 (1, classes, H, W)."""
        logits = self.network(image).logits
        return F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)


def export(run: Path, target: Path, size: tuple[int, int], dynamic: bool = False) -> str:
    """Export the network of a run, and compare what the file computes with what the network computes.

    Architecture, width and classes with their names and colours are in the file's metadata.

    Args:
        run: folder with ``weights.safetensors`` and ``config.json``.
        target: file to write; its suffix, ``.onnx`` or ``.pt2``, decides the format.
        size: height and width of the input images; with ``dynamic`` those of the image that the two are compared on.
        dynamic: leave height and width open: multiples of ``STEP``, from ``LEAST`` pixels on.

    Returns:
        The closing line, with the largest difference of a score.

    Raises:
        UserError: the run is incomplete, the suffix is not supported, the image too large or too small, a package is
            missing, the network cannot be exported or the file computes something else, or ``target`` is a file that
            this function did not write.
    """
    if target.suffix not in WRITERS:
        raise UserError(f"{target}: files that end in {' or '.join(WRITERS)} can be written; name one")
    height, width = size
    if height * width > MOST_PIXELS:
        raise UserError(f"images of {height} x {width}: at most {MOST_PIXELS:,} pixels; lower --height or --width")
    if dynamic and (min(size) < LEAST or height % STEP or width % STEP):
        sizes = f"multiples of {STEP} from {LEAST} on"
        raise UserError(f"--dynamic: images of {height} x {width}; --height and --width need to be {sizes}")
    check_files({target: is_export}, [run / weights.WEIGHTS, run / weights.CONFIG])
    _check_packages(target)
    network, config = weights.load(run)
    # Networks of earlier versions do not say their colours.
    colours = label_set_of(config["class_names"], config.get("palette")).palette
    metadata = {key: json.dumps(value) for key, value in {**config, "palette": colours}.items() if key in KEYS}
    segmenter = Segmenter(network).eval()
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), advising(f"lower --height ({height}) or --width ({width})"):
        # torch's warnings about its own deprecated parts are of no use here.
        warnings.simplefilter("ignore")
        written = WRITERS[target.suffix](_traced(segmenter, image, target, dynamic), metadata, target)
        with torch.no_grad():
            scores, found = segmenter(image), written.run(image)
    difference, largest = float((found - scores).abs().max()), float(scores.abs().max())
    if not difference <= TOLERANCE * largest:
        raise UserError(
            f"{target}: not written, since it computes other scores than the network: they differ by up to "
            f"{difference:.3g}, and the largest is {largest:.3g}"
        )
    with atomic(target) as stream:
        stream.write(written.content)
    sizes = f"all sizes from {LEAST} x {LEAST} on in steps of {STEP}" if dynamic else f"{height} x {width}"
    return (
        f"{run} exported to {target} for images of {sizes} ({written.format}, {len(written.content) / 1e6:.1f} MB); "
        f"by {written.by}, its scores differ by up to {difference:.2g}, of up to {largest:.3g}"
    )


def is_export(path: Path) -> bool:
    """Whether a file was written by :func:`export`: both formats hold the names of the metadata as they are."""
    content = path.read_bytes()
    return content.startswith(_FIRST) and all(key.encode() in content for key in KEYS[:-1])


def _pt2(program: ExportedProgram, metadata: dict[str, str], target: Path) -> Written:
    stream = io.BytesIO()
    torch.export.save(program, stream, extra_files=metadata)
    stream.seek(0)
    return Written(stream.getvalue(), "torch.export", "torch", torch.export.load(stream).module())


def _check_packages(target: Path) -> None:
    if target.suffix != ".onnx":
        return
    try:
        for name in ONNX_PACKAGES:
            import_module(name)
    except ImportError as error:
        packages = ", ".join(ONNX_PACKAGES)
        raise UserError(f"{target}: writing ONNX needs the packages {packages}; run {INSTALL}") from error


def _onnx(program: ExportedProgram, metadata: dict[str, str], target: Path) -> Written:
    import onnxruntime

    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        made: Any = torch.onnx.export(
            program, input_names=["image"], output_names=["scores"], opset_version=OPSET, verbose=False
        )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    model = made.model_proto
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    opset = next(one.version for one in model.opset_import if not one.domain)
    return Written(
        content,
        f"ONNX, opset {opset}",
        "onnxruntime",
        lambda image: torch.from_numpy(session.run(["scores"], {"image": image.numpy()})[0]),
    )


def _traced(network: nn.Module, image: Tensor, target: Path, dynamic: bool) -> ExportedProgram:
    least, most = LEAST // STEP, _MOST_SIDE // STEP
    sides = {2: STEP * Dim("rows", min=least, max=most), 3: STEP * Dim("columns", min=least, max=most)}
    try:
        if dynamic:
            network = _padded_alike(network)
        with torch.no_grad():
            return torch.export.export(network, (image,), dynamic_shapes={"image": sides} if dynamic else None)
    except Exception as error:  # tracing raises errors of many kinds
        if is_out_of_memory(error):
            raise
        height, width = image.shape[2:]
        sizes = "images of all sizes; leave --dynamic out" if dynamic else f"{height} x {width}"
        raise UserError(f"{target}: this network cannot be exported for {sizes} ({first_line(error)})") from error


def _padded_alike(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SameConv2d):
                setattr(parent, name, child.padded_alike())
    return network


WRITERS: dict[str, Callable[[ExportedProgram, dict[str, str], Path], Written]] = {".onnx": _onnx, ".pt2": _pt2}
