"""``etc show``: the table of schemes of every data set, how long trainings took, and where the other results are."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

from etc.commands.run import run
from etc.core.errors import UserError


def show() -> None:
    """Print the table of schemes of every data set and where to find its other results.

    The last column, seconds of training, is there for networks that were trained in this folder.
    """
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
    table = terminal_table(pd.read_csv(path), _seconds(dataset))
    return "\n".join([f"Data set {dataset}", table, "Where to look:", *lines])


def _seconds(dataset: str) -> dict[tuple[str, str], float]:
    """Mean seconds of training by architecture and scheme, over the declared runs whose time is known."""
    from etc.params import experiment

    known = defaultdict(list)
    for one in experiment.load().runs():
        seconds = train_seconds(Path("data") / dataset / "students" / one.name)
        if seconds is not None:
            known[one.architecture, one.scheme].append(seconds)
    return {scheme: mean(values) for scheme, values in known.items()}


def train_seconds(folder: Path) -> float | None:
    """Seconds that the training of the network in ``folder`` took.

    None where it was not trained here: weights that come from a cache or a remote have no ``timing.json``, or one that
    was written beside other weights.
    """
    from etc.core.files import read_json

    try:
        timing, config = (read_json(folder / name) for name in ("timing.json", "config.json"))
        same = timing["weights_sha256"] == config["weights_sha256"]
        return float(timing["train_seconds"]) if same else None
    except (UserError, KeyError, TypeError, ValueError):
        return None
