"""What a checkpoint must agree with before it may be resumed: parameters, inputs and code."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from etc.core import portable
from etc.core.regular import file_checksum

# Keys that affect how fast a training runs or how often it is saved, but nothing that it computes.
NEUTRAL = frozenset({"machine.workers", "machine.cache_mb", "machine.decoded", "machine.checkpoint_every"})
# Code that a training runs, below etc/. Stage modules and the command line only pass arguments on.
CODE = (
    "dataset/*.py",
    "evaluation/*.py",
    "flow/packing.py",
    "flow/precision.py",
    "flow/store.py",
    "flow/warp.py",
    "inference.py",
    "judging.py",
    "terms/*.py",
    "models/*.py",
    "training/*.py",
    "workers.py",
)

Fingerprint = dict[str, str]


def fingerprint(params: Mapping[str, Any], inputs: Mapping[str, str]) -> Fingerprint:
    """Describe a configuration as one short text per key.

    The kind and number of devices are left out: a training that moves to another machine continues there, although the
    last bits of its result are then those of neither machine.

    Args:
        params: the parameters in use; nested mappings become dotted keys.
        inputs: content hash of every input by name.
    """
    described = {key: json.dumps(value) for key, value in _flatten(params, "") if key not in NEUTRAL}
    described |= {f"input {name}": value for name, value in inputs.items()}
    described["portable"] = json.dumps(portable.IN_FORCE)
    return described | {f"code {name}": value for name, value in _code().items()}


def differing(one: Fingerprint, other: Fingerprint) -> list[str]:
    """Sorted keys in which two fingerprints differ."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def digest(fingerprint: Fingerprint) -> str:
    """Short hexadecimal name of a fingerprint."""
    return hashlib.blake2b(json.dumps(fingerprint, sort_keys=True).encode(), digest_size=8).hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """Hexadecimal hash of the names and contents of files, in the given order."""
    total = hashlib.blake2b(digest_size=16)
    for path in paths:
        total.update(Path(path).name.encode() + b"\0" + bytes.fromhex(file_checksum(path)))
    return total.hexdigest()


def _flatten(mapping: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _code() -> dict[str, str]:
    package = Path(__file__).parents[1]
    paths = [path for pattern in CODE for path in sorted(package.glob(pattern))]
    return {path.relative_to(package).as_posix(): hash_files([path]) for path in paths}
