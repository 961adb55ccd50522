"""The methods that compute flow from two frames, by name."""

import inspect
import math
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

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
    hints = get_type_hints(METHODS[name].__init__)
    for parameter, value in parameters.items():
        if parameter in hints and not _is(value, hints[parameter]):
            raise UserError(
                f"flow method {name!r}: {parameter} is {value!r}, but must be "
                f"{inspect.formatannotation(hints[parameter])}"
            )
    return METHODS[name](**parameters)


def _is(value: Any, hint: Any) -> bool:
    """Whether a value has a type: a plain one, a sequence of one, or any of several."""
    origin = get_origin(hint)
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(_is(one, get_args(hint)[0]) for one in value)
    if origin is not None:
        return any(_is(value, one) for one in get_args(hint))
    if hint in (int, float):
        return type(value) is int or (hint is float and type(value) is float and math.isfinite(value))
    return isinstance(value, hint)
