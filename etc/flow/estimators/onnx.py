"""Any network that takes two images and gives flow, as an ONNX file run by onnxruntime.

onnxruntime is an optional extra: ``pip install 'etc-segmentation[onnx]'``. The defaults fit RAFT as the OpenCV model
zoo publishes it (RGB in 0..255, channels first, a fixed size of 360x480).
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from etc.core.errors import UserError, first_line
from etc.core.files import sha256
from etc.flow.estimators import sizing
from etc.flow.estimators.estimator import check_frames

# (factor, offset) from 0..255.
RANGES = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}
LAYOUTS = ("nchw", "nhwc")
COLOURS = ("rgb", "bgr")
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class OnnxNetwork:
    """A two-image network in an ONNX file.

    A network of fixed size gets resized frames, and its flow is resized back with its vectors scaled. A network of
    free size gets frames whose border is repeated up to the next multiple, and its flow is cropped.

    Args:
        path: the ONNX file.
        inputs: names of the first and the second image's input; default: the network's two inputs in their order.
        output: name of the flow; default: the last output of the images' size with two channels.
        layout: ``nchw`` or ``nhwc``, of images and flow.
        value_range: what the network expects black and white to be: ``0..255``, ``0..1`` or ``-1..1``.
        colour: order of the channels, ``rgb`` or ``bgr``.
        multiple: height and width that a network of free size needs are multiples of this, in pixels.
        device: ``auto`` (a GPU when onnxruntime has one), ``cpu`` or ``cuda``.
        checksum: first hex digits of the file's SHA-256; verified when given.

    Raises:
        UserError: onnxruntime or the file is missing, the file is damaged or has other inputs or outputs than named,
            or an argument has an unknown value.
    """

    name = "onnx"

    def __init__(
        self,
        path: str | os.PathLike,
        inputs: Sequence[str] | None = None,
        output: str | None = None,
        layout: str = "nchw",
        value_range: str = "0..255",
        colour: str = "rgb",
        multiple: int = 8,
        device: str = "auto",
        checksum: str | None = None,
    ):
        self.path = os.fspath(path)
        for what, value, known in (
            ("layout", layout, LAYOUTS),
            ("value range", value_range, RANGES),
            ("order of colours", colour, COLOURS),
        ):
            if value not in known:
                raise UserError(f"{path}: there is no {what} {value!r}: choose one of {', '.join(known)}")
        if multiple < 1:
            raise UserError(f"{path}: frames cannot be padded to a multiple of {multiple}: give 1 or more")
        digest = sha256(path)
        if checksum is not None and not digest.startswith(checksum.lower()):
            raise UserError(
                f"{path}: its SHA-256 is {digest}, expected {checksum}…: use the right file, or correct 'checksum'"
            )
        self._session, runtime = _session(self.path, device)
        self._inputs = self._chosen_inputs(inputs)
        self._output = output
        self._layout, self._range, self._colour, self._multiple = layout, RANGES[value_range], colour, multiple
        known = [one.name for one in self._session.get_outputs()]
        if output is not None and output not in known:
            raise UserError(f"{path}: the network has no output {output!r}; it has {', '.join(known)}")
        self._size = self._fixed_size()
        self.parameters: dict[str, Any] = {
            "inputs": [one.name for one in self._inputs],
            "output": output,
            "layout": layout,
            "value_range": value_range,
            "colour": colour,
            "multiple": multiple,
        }
        # Another runtime or device changes the last bits.
        self.version = f"{runtime} sha256-{digest[:32]}"

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        check_frames(self.name, frame0, frame1)
        frames, window = [frame0, frame1], None
        if self._size is not None:
            frames = [sizing.resize_frame(frame, self._size) for frame in frames]
        else:
            frames, windows = zip(*(sizing.pad(frame, self._multiple) for frame in frames), strict=True)
            window = windows[0]
        flow = self._run(frames)
        return sizing.crop(flow, window) if window else sizing.resize_flow(flow, frame0.shape[:2])

    def _run(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        feed = {one.name: self._tensor(frame, one.type) for one, frame in zip(self._inputs, frames, strict=True)}
        names = [self._output] if self._output else [one.name for one in self._session.get_outputs()]
        try:
            results = self._session.run(names, feed)
        except Exception as error:  # onnxruntime has an exception class for each of its codes
            reason = first_line(error)[:200]
            raise UserError(f"{self.path}: the network failed on {frames[0].shape} ({reason})") from error
        height, width = frames[0].shape[:2]
        wanted = (1, 2, height, width) if self._layout == "nchw" else (1, height, width, 2)
        # Networks that refine give a flow after each step; the last is the best.
        for result in reversed(results):
            if result.shape == wanted:
                flow = result[0] if self._layout == "nhwc" else np.moveaxis(result[0], 0, 2)
                return np.ascontiguousarray(flow, np.float32)
        shapes = ", ".join(f"{name} {result.shape}" for name, result in zip(names, results, strict=True))
        raise UserError(f"{self.path}: no output has the shape {wanted} of a flow; it gave {shapes}")

    def _tensor(self, frame: np.ndarray, kind: str) -> np.ndarray:
        if self._colour == "bgr":
            frame = frame[..., ::-1]
        factor, offset = self._range
        values = frame if self._range == (1.0, 0.0) else frame * np.float32(factor) + np.float32(offset)
        if self._layout == "nchw":
            values = np.moveaxis(values, 2, 0)
        return np.ascontiguousarray(values[None], _TYPES[kind])

    def _chosen_inputs(self, names: Sequence[str] | None) -> list[Any]:
        known = {one.name: one for one in self._session.get_inputs()}
        described = ", ".join(known)
        if names is not None and (len(names) != 2 or any(name not in known for name in names)):
            raise UserError(f"{self.path}: {list(names)} are not two inputs of the network; it has {described}")
        if len(known) != 2:
            raise UserError(f"{self.path}: a flow network has two inputs, the two images; this one has {described}")
        chosen = [known[name] for name in names or known]
        for one in chosen:
            if one.type not in _TYPES:
                raise UserError(f"{self.path}: input {one.name} takes {one.type}; use one of {', '.join(_TYPES)}")
        return chosen

    def _fixed_size(self) -> tuple[int, int] | None:
        """(height, width) that the network is bound to, or None."""
        sizes = set()
        for one in self._inputs:
            channels = one.shape[1 if self._layout == "nchw" else -1] if len(one.shape) == 4 else None
            if len(one.shape) != 4 or (isinstance(channels, int) and channels != 3):
                raise UserError(
                    f"{self.path}: input {one.name} has the shape {one.shape}; an image as '{self._layout}' has four "
                    "dimensions and 3 channels: change 'layout' or use another network"
                )
            sizes.add(tuple(one.shape[2:] if self._layout == "nchw" else one.shape[1:3]))
        size = sizes.pop()
        if sizes or len({isinstance(side, int) for side in size}) > 1:
            shapes = " and ".join(str(one.shape) for one in self._inputs)
            raise UserError(
                f"{self.path}: its inputs have the shapes {shapes}; both images must have one size, fixed or free: "
                "change 'layout' or use another network"
            )
        return size if isinstance(size[0], int) else None


def _session(path: str, device: str) -> tuple[Any, str]:
    """The network ready to run, and what it runs on."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"there is no device {device!r}: choose auto, cpu or cuda")
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("ONNX flow needs onnxruntime: pip install 'etc-segmentation[onnx]'") from error
    on_gpu = device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not on_gpu:
        raise UserError("the device of the ONNX network is 'cuda', but onnxruntime finds no GPU; use 'auto' or 'cpu'")
    options = onnxruntime.SessionOptions()
    # Several clips are computed at once, one process each; one thread also keeps the order of every sum.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=["CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has an exception class for each of its codes
        raise UserError(f"{path}: not a network that onnxruntime can run ({first_line(error)[:200]})") from error
    return session, f"onnxruntime-{onnxruntime.__version__} {'cuda' if on_gpu else 'cpu'}"
