"""What of a weights file went into a network, and what did not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

_SHOWN = 5


@dataclass(frozen=True)
class LoadReport:
    """Keys of a weights file against those of the network that it is loaded into.

    Attributes:
        source: the file or model.
        loaded: keys that were copied.
        left_out: keys of the file that are left out on purpose, as the classifier of other classes.
        missing: keys of the network that the file has not.
        unexpected: keys of the file that the network has not.
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
        """Whether every key of either side has its counterpart, but for those left out on purpose."""
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def problems(self) -> str:
        """What does not fit, the first keys of each kind by name; empty when all fits."""
        kinds = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.mismatched))
        return "; ".join(_listed(kind, names) for kind, names in kinds if names)

    def line(self) -> str:
        """The report as one line."""
        fresh = (*self.missing, *self.mismatched)
        kinds = (("left out", self.left_out), ("not used", self.unexpected), ("drawn anew", fresh))
        parts = [_listed(kind, names) for kind, names in kinds if names]
        return "; ".join([f"{self.source}: {len(self.loaded)} tensors loaded", *parts])


def compare(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str, left_out: Iterable[str] = ()
) -> LoadReport:
    """Compare a network's own state with one that is to be loaded.

    The counters ``num_batches_tracked`` may be missing: files from before torch 0.4.1 do not have them.

    Args:
        own: of the network.
        state: of the file.
        source: name of the file.
        left_out: beginnings of keys of the file that are not wanted; a key that the network has is always wanted.
    """
    unwanted = [name for name in state if name not in own and name.startswith(tuple(left_out))]
    both = [name for name in own if name in state]
    differing = [name for name in both if state[name].shape != own[name].shape]
    return LoadReport(
        source,
        loaded=tuple(name for name in both if name not in differing),
        left_out=tuple(unwanted),
        missing=tuple(name for name in own if name not in state and not name.endswith("num_batches_tracked")),
        unexpected=tuple(name for name in state if name not in own and name not in unwanted),
        mismatched=tuple(
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}" for name in differing
        ),
    )


def _listed(kind: str, names: tuple[str, ...]) -> str:
    return f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
