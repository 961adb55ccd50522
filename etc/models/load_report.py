"""Which tensors of a weights file were loaded into a network, and which were not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from etc.core.errors import UserError, many

_SHOWN = 5


@dataclass(frozen=True)
class LoadReport:
    """Keys of a weights file against those of the network that it is loaded into.

    Attributes:
        source: the file or model.
        loaded: keys that were copied.
        left_out: keys of the file that are left out on purpose, such as the classifier for other classes.
        missing: keys of the network that the file does not have.
        unexpected: keys of the file that the network does not have.
        mismatched: keys of both whose shapes differ, each with both shapes.
    """

    source: str
    loaded: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether every key on either side has a counterpart, except those left out on purpose."""
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def problems(self) -> str:
        """What does not fit, with the first keys of each kind; empty when everything fits."""
        kinds = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.mismatched))
        return "; ".join(_listed(kind, names) for kind, names in kinds if names)

    def line(self) -> str:
        """The report as one line."""
        fresh = (*self.missing, *self.mismatched)
        kinds = (("left out", self.left_out), ("not used", self.unexpected), ("initialised at random", fresh))
        parts = [_listed(kind, names) for kind, names in kinds if names]
        return "; ".join([f"{self.source}: {many(len(self.loaded), 'tensor')} loaded", *parts])


def compare(
    network_state: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str, left_out: Iterable[str] = ()
) -> LoadReport:
    """Compare a network's state with one that is to be loaded.

    The counters ``num_batches_tracked`` may be missing: files older than torch 0.4.1 do not have them.

    Args:
        network_state: of the network.
        state: of the file.
        source: name of the file.
        left_out: prefixes of keys of the file that are not wanted; keys of the network are always wanted.
    """
    unwanted = [name for name in state if name not in network_state and name.startswith(tuple(left_out))]
    both = [name for name in network_state if name in state]
    differing = [name for name in both if state[name].shape != network_state[name].shape]
    return LoadReport(
        source,
        loaded=tuple(name for name in both if name not in differing),
        left_out=tuple(unwanted),
        missing=tuple(name for name in network_state if name not in state and not name.endswith("num_batches_tracked")),
        unexpected=tuple(name for name in state if name not in network_state and name not in unwanted),
        mismatched=tuple(
            f"{name} {tuple(state[name].shape)} instead of {tuple(network_state[name].shape)}" for name in differing
        ),
    )


def require_usable(state: Mapping[str, Tensor], network_state: Mapping[str, Tensor], source: str) -> None:
    """Make sure that tensors hold what weights can be: a network with a NaN predicts one class everywhere.

    Args:
        state: tensors to load, of the shapes of the network.
        network_state: the network's tensors, by the same names.
        source: name of the file or model.

    Raises:
        UserError: a tensor is not of the network's kind of number, or holds NaN, infinity or a negative variance.
    """
    kinds = {"of another kind of number": [], "not finite": [], "with a negative variance": []}
    for name, value in state.items():
        plain = value.layout == torch.strided and not value.is_quantized and not value.is_complex()
        if not plain or value.is_floating_point() != network_state[name].is_floating_point():
            kinds["of another kind of number"].append(f"{name} {value.dtype}".replace("torch.", ""))
        elif value.is_floating_point():
            value = value.to(network_state[name].dtype)
            if not bool(value.isfinite().all()):
                kinds["not finite"].append(name)
            elif name.endswith("running_var") and bool((value < 0).any()):
                kinds["with a negative variance"].append(name)
    problems = [_listed(kind, tuple(names)) for kind, names in kinds.items() if names]
    if problems:
        raise UserError(f"{source}: not usable as weights ({'; '.join(problems)}); fetch it or make it again")


def _listed(kind: str, names: tuple[str, ...]) -> str:
    return f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
