"""The methods that compute flow from two frames, by name."""

import inspect
from typing import Any

from etc.core.errors import UserError
from etc.flow.estimators.dis import Dis
from etc.flow.estimators.estimator import Estimator
from etc.flow.estimators.farneback import Farneback
from etc.flow.estimators.onnx import OnnxNetwork
from etc.flow.estimators.raft import Raft

METHODS: dict[str, type] = {method.name: method for method in (Dis, Farneback, Raft, OnnxNetwork)}


def build(name: str, **parameters: Any) -> Estimator:
    """Make a flow estimator by name: ``dis``, ``farneback``, ``raft`` or ``onnx``.

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
