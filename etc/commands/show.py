"""What ``etc show`` prints at the end of a run: the table, and where everything else is."""

from pathlib import Path

import pandas as pd

from etc.core.errors import UserError
from etc.params import experiment
from etc.reporting.tables import terminal_table


def text() -> str:
    """The table of schemes of every data set in ``params/experiment.yaml`` and the paths of the other results.

    Raises:
        UserError: a data set has no table yet.
    """
    return "\n".join(_of(dataset) for dataset in experiment.load().run)


def _of(dataset: str) -> str:
    folder = Path("results") / dataset
    path = folder / "tables" / "schemes.csv"
    if not path.exists():
        raise UserError(f"{path}: no such file; run `make results`")
    table = terminal_table(pd.read_csv(path))
    places = {
        "tables": folder / "tables",
        "plots": folder / "plots",
        "page": folder / "index.html",
    }
    lines = [f"  {name:<7}{place}" for name, place in places.items()]
    return "\n".join([f"Data set {dataset}", table, "Where to look:", *lines])
