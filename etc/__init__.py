"""ETC: temporally consistent per-frame semantic video segmentation, as a reproducible pipeline."""
