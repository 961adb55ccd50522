"""Settings under which processors with AVX2 compute the same bits, in force before NumPy, OpenCV and torch are loaded.

Newer processors get other kernels, which add in another order. Each setting was necessary, or is a precaution, as
measured in ``docs/decisions/portable-bits.md``; docs/benchmarks.md says what they cost.
"""

import os
import platform
import sys
from pathlib import Path

OFF = "ETC_PORTABLE"  # environment variable: 0 = the fastest kernels of this processor

SETTINGS = {
    # torch: convolutions with AVX-512 differ.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # torch: matrix products differ; the value AVX2 is ignored on processors that are not Intel's.
    "MKL_CBWR": "COMPATIBLE",
    # torch: its own kernels, as a precaution.
    "ATEN_CPU_CAPABILITY": "avx2",
    # OpenCV: cv2.transform differs.
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
    # NumPy: float64 exp, power, log2 and arctan2 differ.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    # NumPy: matrix products, as a precaution.
    "OPENBLAS_CORETYPE": "Haswell",
}
# Whatever is asked for: flow differs without it, and nothing records how flow was made.
ALWAYS = {"OPENCV_IPP": "disabled"}
READERS = ("numpy", "cv2", "torch")  # they read the settings once, while they are loaded


def set_up() -> bool:
    """Set the environment of this process and its children; what was set by hand is overruled.

    Returns:
        Whether the settings are in force: they are not asked away, the processor is an x86-64 with AVX2 and FMA, and
        none of ``READERS`` was loaded without them.
    """
    wanted = _wanted()
    settings = ALWAYS | wanted
    inherited = all(os.environ.get(name) == value for name, value in settings.items())
    os.environ.update(settings)
    # OpenCV warns of each process in which IPP is off.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    if wanted:
        # NumPy does not load beside a list of features to use and one of features to leave out.
        os.environ.pop("NPY_ENABLE_CPU_FEATURES", None)
    return bool(wanted) and (inherited or not any(name in sys.modules for name in READERS))


def _wanted() -> dict[str, str]:
    """The settings for this processor; none when they are asked away, or where they would not give the same bits."""
    if os.environ.get(OFF, "").strip().lower() in ("0", "false", "no", "off"):
        return {}
    features = _features()
    if platform.machine().lower() not in ("x86_64", "amd64") or (features and not features >= {"avx2", "fma"}):
        return {}
    # OpenCV complains on stderr when it is to do without what is not there.
    without = {"OPENCV_CPU_DISABLE"} if features and "avx512f" not in features else set()
    return {name: value for name, value in SETTINGS.items() if name not in without}


def _features() -> set[str]:
    """What the processor can do, as Linux names it; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return set(next((line.split() for line in text.splitlines() if line.startswith("flags")), []))


IN_FORCE = set_up()
