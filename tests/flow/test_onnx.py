"""ONNX networks: everything with a stand-in for onnxruntime, and again with onnxruntime where it is installed."""

import hashlib
import json
import sys
import types

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.methods import build

# The test network: u is a weighted sum of the first image's channels, v of the second's.
WEIGHTS = np.float32([0.5, 0.25, 0.125])
TYPES = {"float": np.float32, "float16": np.float16}


def answer(first, second, layout):
    axis = 1 if layout == "nchw" else -1
    sums = [np.tensordot(image.astype(np.float32), WEIGHTS, ([axis], [0])) for image in (first, second)]
    return np.stack(sums, axis)


def describe(path, layout, size, kind, names, outputs):
    """What the stand-in reads instead of a network."""
    path.write_text(json.dumps({"layout": layout, "size": size, "kind": kind, "names": names, "outputs": outputs}))


def make_real(path, layout, size, kind, names, outputs):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, number = onnx.helper, {"float": onnx.TensorProto.FLOAT, "float16": onnx.TensorProto.FLOAT16}[kind]
    sides = size or ["height", "width"]
    shape = [1, 3, *sides] if layout == "nchw" else [1, *sides, 3]
    weights = onnx.numpy_helper.from_array(
        WEIGHTS.astype(TYPES[kind]).reshape((1, 3, 1, 1) if layout == "nchw" else (1, 1, 1, 3)), "weights"
    )
    axis = 1 if layout == "nchw" else 3
    axes = onnx.numpy_helper.from_array(np.array([axis]), "axes")
    nodes = []
    for number_, name in enumerate(names):
        nodes.append(helper.make_node("Mul", [name, "weights"], [f"weighted{number_}"]))
        nodes.append(helper.make_node("ReduceSum", [f"weighted{number_}", "axes"], [f"sum{number_}"]))
    nodes.append(helper.make_node("Concat", ["sum0", "sum1"], ["flow"], axis=axis))
    zero = onnx.numpy_helper.from_array(np.zeros(1, TYPES[kind]), "zero")
    nodes.append(helper.make_node("Mul", ["flow", "zero"], ["early"]))
    nodes.append(helper.make_node("ReduceMax", ["flow", "axes"], ["small"]))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, number, shape) for name in names],
        [helper.make_tensor_value_info(name, number, None) for name in outputs],
        [weights, axes, zero],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))


class Session:
    """The part of ``onnxruntime.InferenceSession`` that is used."""

    def __init__(self, path, options, providers):
        assert providers == ["CPUExecutionProvider"]
        with open(path) as stream:
            self.network = json.load(stream)

    def get_inputs(self):
        sides = self.network["size"] or ["height", "width"]
        shape = [1, 3, *sides] if self.network["layout"] == "nchw" else [1, *sides, 3]
        kind = f"tensor({self.network['kind']})"
        return [types.SimpleNamespace(name=name, shape=shape, type=kind) for name in self.network["names"]]

    def get_outputs(self):
        return [types.SimpleNamespace(name=name) for name in self.network["outputs"]]

    def run(self, names, feed):
        first, second = (feed[name] for name in self.network["names"])
        assert first.dtype == TYPES[self.network["kind"]]
        flow = answer(first, second, self.network["layout"]).astype(first.dtype)
        axis = 1 if self.network["layout"] == "nchw" else -1
        known = {"flow": flow, "early": 0 * flow, "small": flow.max(axis, keepdims=True)}
        return [known[name] for name in names]


@pytest.fixture(params=["stand-in", "onnxruntime"])
def network(request, tmp_path, monkeypatch):
    """Writes a network and returns its path."""
    if request.param == "stand-in":
        module = types.ModuleType("onnxruntime")
        module.InferenceSession, module.SessionOptions, module.__version__ = Session, types.SimpleNamespace, "0.0"
        module.get_available_providers = lambda: ["CPUExecutionProvider"]
        monkeypatch.setitem(sys.modules, "onnxruntime", module)

    def write(layout="nchw", size=None, kind="float", names=("a", "b"), outputs=("small", "early", "flow")):
        path = tmp_path / "network.onnx"
        (describe if request.param == "stand-in" else make_real)(path, layout, size, kind, list(names), list(outputs))
        return path

    return write


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (21, 30, 3)).astype(np.uint8) for _ in range(2)]


def expected(frames, values=lambda frame: frame):
    return np.stack([values(frame.astype(np.float32)) @ WEIGHTS for frame in frames], -1)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_network_of_free_size(network, frames, layout):
    method = build("onnx", path=network(layout), layout=layout)
    flow = method(*frames)
    assert flow.shape == (21, 30, 2) and flow.dtype == np.float32
    np.testing.assert_allclose(flow, expected(frames), rtol=1e-5)
    np.testing.assert_allclose(method(*frames[::-1]), expected(frames)[..., ::-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"value_range": "0..1"}, lambda frame: frame / 255),
        ({"value_range": "-1..1"}, lambda frame: frame / 127.5 - 1),
        ({"colour": "bgr"}, lambda frame: frame[..., ::-1]),
    ],
)
def test_values_and_channels_as_the_network_wants_them(network, frames, options, values):
    flow = build("onnx", path=network(), **options)(*frames)
    np.testing.assert_allclose(flow, expected(frames, values), rtol=1e-4, atol=1e-4)


def test_half_precision(network, frames):
    flow = build("onnx", path=network(kind="float16"), value_range="0..1")(*frames)
    np.testing.assert_allclose(flow, expected(frames, lambda frame: frame / 255), atol=2e-3)


def test_a_network_of_fixed_size_gets_resized_frames_and_its_vectors_are_scaled(network):
    """Uniform frames: the network at 16x24 says (c0, c1); in a frame of 40x36 that is c0 * 36/24 and c1 * 40/16."""
    frames = [np.full((40, 36, 3), grey, np.uint8) for grey in (8, 24)]
    first, second = (np.float32(grey) * WEIGHTS.sum() for grey in (8, 24))
    flow = build("onnx", path=network(size=[16, 24]))(*frames)
    assert flow.shape == (40, 36, 2)
    np.testing.assert_allclose(flow, np.broadcast_to([first * 36 / 24, second * 40 / 16], flow.shape), rtol=1e-5)


def test_inputs_and_output_by_name(network, frames):
    path = network()
    np.testing.assert_allclose(
        build("onnx", path=path, inputs=["b", "a"], output="flow")(*frames[::-1]),
        expected(frames),
        rtol=1e-5,
    )
    assert (build("onnx", path=path, output="early")(*frames) == 0).all()
    assert (build("onnx", path=network(outputs=("flow", "early")))(*frames) == 0).all()


def test_the_key_holds_the_file_and_the_options(network):
    path = network()
    method = build("onnx", path=path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest[:32] in method.version and "onnxruntime-" in method.version
    assert method.parameters["inputs"] == ["a", "b"] and method.parameters["value_range"] == "0..255"
    assert str(path) not in json.dumps(method.parameters) + method.version
    assert build("onnx", path=path, checksum=digest[:8]).version == method.version
    with pytest.raises(UserError, match=f"{path}.*SHA-256 is {digest}, expected 00000000"):
        build("onnx", path=path, checksum="00000000")


def test_wrong_requests_are_refused(network, frames, tmp_path):
    path = network()
    cases = [
        ({"layout": "chw"}, "no layout 'chw'"),
        ({"value_range": "0..2"}, "value range"),
        ({"colour": "lab"}, "order of colours"),
        ({"multiple": 0}, "multiple of 0"),
        ({"inputs": ["a", "c"]}, "it has a, b"),
        ({"output": "depth"}, "no output 'depth'; it has small, early, flow"),
        ({"layout": "nhwc"}, "change 'layout'"),
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"device": "cuda"}, "no GPU"),
        ({"path": tmp_path / "nowhere.onnx"}, r"nowhere\.onnx: no such file"),
    ]
    for changed, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            build("onnx", **{"path": path, **changed})
        assert "\n" not in str(caught.value)
    with pytest.raises(
        UserError, match=r"network\.onnx: no output has the shape \(1, 2, 24, 32\).*small \(1, 1, 24, 32\)"
    ):
        build("onnx", path=path, output="small")(*frames)
    with pytest.raises(UserError, match="two inputs, the two images; this one has a$"):
        build("onnx", path=one_input(path))
    path.write_bytes(b"no network")
    with pytest.raises(UserError, match=r"network\.onnx: not a network"):
        build("onnx", path=path)


def one_input(path):
    if path.read_bytes().startswith(b"{"):
        describe(path, "nchw", None, "float", ["a"], ["flow"])
        return path
    import onnx

    value = onnx.helper.make_tensor_value_info
    image, flow = (value(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"]) for name in ("a", "flow"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["a"], ["flow"])], "one", [image], [flow])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def test_missing_onnxruntime_is_explained(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "network.onnx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"pip install 'etc-segmentation\[onnx\]'"):
        build("onnx", path=tmp_path / "network.onnx")
