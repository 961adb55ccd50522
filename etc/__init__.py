"""ETC: temporally consistent per-frame semantic video segmentation, as a reproducible pipeline.

``FlipRate``, ``TemporalConsistency`` and ``VideoConsistency`` are those of :mod:`etc.metrics`.
"""

import importlib
from typing import Any

# First of all, since NumPy, OpenCV and torch read these settings while they are loaded.
from etc.core import portable as portable

__all__ = ["FlipRate", "TemporalConsistency", "VideoConsistency"]


def __getattr__(name: str) -> Any:
    # Only when asked for: every command and every worker process imports this package.
    if name in __all__:
        return getattr(importlib.import_module("etc.metrics"), name)
    raise AttributeError(f"module 'etc' has no attribute {name!r}")
