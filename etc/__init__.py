"""ETC: temporally consistent per-frame semantic video segmentation, as a reproducible pipeline."""

# First of all, since NumPy, OpenCV and torch read these settings while they are loaded.
from etc.core import portable as portable
