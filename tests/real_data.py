"""Real samples, which may lie beside the checkout; tests that need them are skipped elsewhere."""

from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "shared"
DATA = SAMPLES / "data"
