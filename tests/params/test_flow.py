"""Parameters of flow: what each method needs and what it is given."""

import inspect

import pytest

from etc.core.errors import UserError
from etc.flow.methods import METHODS
from etc.params import flow

BASE = """
street:
  evaluate: {method: exact, splits: [dev], max_offset: 1, steps_per_pixel: 128, visibility: exact}
  compare: {method: dis, splits: [dev], max_offset: 1, steps_per_pixel: 16, visibility: forward_backward}
  train:
    splits: [train]
    max_offset: 3
    steps_per_pixel: 16
    visibility: forward_backward
"""


def load(tmp_path, **keys):
    path = tmp_path / "flow.yaml"
    path.write_text(BASE + "".join(f"    {name}: {value}\n" for name, value in keys.items()))
    return flow.load("street", path).train


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"method": "dis", "preset": "fast", "path": "x", "iterations": 3}, {"preset": "fast"}),
        ({"method": "dis"}, {}),
        ({"method": "farneback", "preset": "medium"}, {}),
        ({"method": "folder", "path": "flow"}, {}),
        ({"method": "raft", "size": "small", "checksum": "abcdef01"}, {"size": "small", "device": "auto"}),
        (
            {"method": "raft", "path": "w.pth", "iterations": 20, "checksum": '"12345678"', "device": "cpu"},
            {"weights": "w.pth", "iterations": 20, "checksum": "12345678", "device": "cpu"},
        ),
        (
            {"method": "onnx", "path": "n.onnx", "checksum": "abcdef01", "network": "{inputs: [a, b], layout: nhwc}"},
            {
                "path": "n.onnx",
                "inputs": ("a", "b"),
                "layout": "nhwc",
                "value_range": "0..255",
                "colour": "rgb",
                "multiple": 8,
                "device": "auto",
                "checksum": "abcdef01",
            },
        ),
    ],
)
def test_a_method_gets_what_it_takes(tmp_path, keys, expected):
    settings = load(tmp_path, **keys)
    assert settings.options() == expected
    assert settings.scale == 1
    if settings.method != "folder":
        inspect.signature(METHODS[settings.method]).bind(**settings.options())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "flownet"}, "street.train.method"),
        ({"method": "onnx"}, "method onnx needs 'path'"),
        ({"method": "folder"}, "method folder needs 'path'"),
        ({"method": "onnx", "path": "n.onnx"}, "needs 'checksum': sha256sum n.onnx"),
        ({"method": "raft", "path": "w.pth"}, "needs 'checksum': sha256sum w.pth"),
        ({"method": "dis", "checksum": "xyz"}, "street.train.checksum"),
        ({"method": "dis", "scale": 3}, "street.train.scale"),
        ({"method": "dis", "iterations": 0}, "street.train.iterations"),
        ({"method": "dis", "network": "{layout: chw}"}, "street.train.network.layout"),
        ({"method": "dis", "network": "{inputs: [a]}"}, "street.train.network.inputs"),
        ({"method": "dis", "presets": "fast"}, "'street.train.presets'.*is unknown"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, keys, message):
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, **keys)
    assert "flow.yaml" in str(caught.value) and "\n" not in str(caught.value)
