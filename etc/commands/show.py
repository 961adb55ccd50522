"""``etc show``: the table of schemes of every data set, and where to find its other results."""

from pathlib import Path

from etc.commands.run import run
from etc.core.errors import UserError


def show() -> None:
    """Print the table of schemes of every data set and where to find its other results."""
    from etc.params import experiment

    run(lambda: print("\n".join(results_text(dataset) for dataset in experiment.load().run)))


def results_text(dataset: str) -> str:
    """The table of schemes of one data set and the paths of its other results.

    Raises:
        UserError: there is no table yet.
    """
    import pandas as pd

    from etc.reporting.tables import terminal_table

    folder = Path("results") / dataset
    path = folder / "tables" / "schemes.csv"
    if not path.exists():
        raise UserError(f"{path}: no such file; run `make results`")
    places = {"tables": folder / "tables", "plots": folder / "plots", "page": folder / "index.html"}
    lines = [f"  {name:<7}{place}" for name, place in places.items()]
    return "\n".join([f"Data set {dataset}", terminal_table(pd.read_csv(path)), "Where to look:", *lines])
