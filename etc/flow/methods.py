"""Where flow comes from, by name. Estimators take two frames; ``exact`` and ``folder`` read flow that is there."""

import inspect
from typing import Any, Protocol

import numpy as np

from etc.core.errors import UserError
from etc.flow.estimators.dis import Dis
from etc.flow.estimators.exact import ExactFlow
from etc.flow.estimators.farneback import Farneback
from etc.flow.estimators.folder import FolderFlow
from etc.flow.estimators.onnx import OnnxNetwork
from etc.flow.estimators.raft import Raft


class FlowMethod(Protocol):
    """Estimates the flow between two frames.

    ``name``, ``version`` and ``parameters`` enter the key of every stored flow: two methods that can give different
    flow must differ in one of them.
    """

    name: str
    version: str
    parameters: dict[str, Any]

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
        """F_{0->1}, float32 (H, W, 2) in pixels, from two frames uint8 (H, W, 3) RGB."""
        ...


METHODS: dict[str, type] = {
    method.name: method for method in (Dis, Farneback, Raft, OnnxNetwork, FolderFlow, ExactFlow)
}


def build(name: str, **parameters: Any) -> FlowMethod | ExactFlow | FolderFlow:
    """Make a flow method by name: ``dis``, ``farneback``, ``raft``, ``onnx``, ``folder`` or ``exact``.

    Args:
        name: the method.
        parameters: those of the method's class.

    Raises:
        UserError: unknown name, parameter or value, or what the method needs is missing.
    """
    if name not in METHODS:
        raise UserError(f"unknown flow method {name!r}: choose one of {', '.join(METHODS)}")
    signature = inspect.signature(METHODS[name])
    try:
        signature.bind(**parameters)
    except TypeError as error:
        raise UserError(
            f"flow method {name!r} does not take the parameters {sorted(parameters)} ({error}); "
            f"it takes {', '.join(signature.parameters)}"
        ) from error
    return METHODS[name](**parameters)
