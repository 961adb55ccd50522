"""What computes: processor, system, Python, packages and the settings that choose kernels.

A record of it lies in git beside results, for people. No stage writes or reads it, so that it is hashed nowhere and
stays as it is when another machine runs the chain (``docs/decisions/timing-and-machine.md``).
"""

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etc.core import portable

RECORD = "machine.json"
REQUIREMENTS = Path("requirements.lock")
_PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
_MODEL = re.compile(r"^model name\s*: (.*)$", re.MULTILINE)


def this_machine() -> dict[str, Any]:
    """What runs here: cpu, system, libc, python; packages, as installed of those that are locked; settings in force."""
    locked = pins(REQUIREMENTS.read_text(encoding="utf-8")) if REQUIREMENTS.is_file() else {}
    return {
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": _libc(),
        "python": platform.python_version(),
        "packages": {name: _installed(name) for name in locked},
        "settings": {name: os.environ[name] for name in {**portable.SETTINGS, **portable.ALWAYS} if name in os.environ},
    }


def compare(committed: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Lines (what, committed, here): the machine in any case, of packages and settings those that differ.

    Args:
        committed: a record, see :func:`this_machine`; a part that it lacks was not recorded.
        here: likewise.
    """
    lines = [(key, committed.get(key, "not recorded"), here[key]) for key in ("cpu", "system", "libc", "python")]
    for part in ("packages", "settings"):
        old, new = committed.get(part), here[part]
        if old is not None:
            names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            lines += [(name, old.get(name, "none"), new.get(name, "none")) for name in names]
    return lines


def pins(text: str) -> dict[str, str]:
    """Names and exact versions of a requirements file."""
    return dict(_PIN.findall(text))


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    try:
        found = _MODEL.search(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or "unknown"


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
    except (AttributeError, ValueError, OSError):  # not glibc
        return " ".join(platform.libc_ver()).strip() or "unknown"
