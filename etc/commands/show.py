"""``etc show``: the table of schemes of every data set, measured times, and where the other results are."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

from etc.commands.run import run
from etc.core.errors import UserError


def show() -> None:
    """Print the table of schemes of every data set and where to find its other results.

    The last columns are seconds of training and milliseconds a frame, of networks that were trained and judged in this
    folder.
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
    table = terminal_table(pd.read_csv(path), _times(dataset))
    return "\n".join([f"Data set {dataset}", table, "Where to look:", *lines])


def _times(dataset: str) -> dict[str, dict[tuple[str, str], str]]:
    """Mean seconds of training and milliseconds a frame, by architecture and scheme, over the runs whose time is known.

    A column of which nothing is known is left out.
    """
    from etc.params import experiment

    folder = Path("data") / dataset
    training, frames = defaultdict(list), defaultdict(list)
    for one in experiment.load().runs():
        scheme, network = (one.architecture, one.scheme), folder / one.folder
        training[scheme] += measured(network / "timing.json", "train_seconds", network)
        frames[scheme] += measured(folder / "timing" / f"{one.name}.json", "ms_per_frame", network)
    columns = {
        "train s": {scheme: f"{mean(known):.0f}" for scheme, known in training.items() if known},
        "ms/frame": {scheme: f"{mean(known):.2f}" for scheme, known in frames.items() if known},
    }
    return {title: column for title, column in columns.items() if column}


def measured(path: Path, key: str, network: Path) -> list[float]:
    """A time that was measured in this folder with the network that is in ``network`` now; empty where there is none.

    Weights that come from a cache or a remote have no such file, or one that was written for other weights.
    """
    from etc.core.files import read_json

    try:
        timing, config = read_json(path), read_json(network / "config.json")
        return [float(timing[key])] if timing["weights_sha256"] == config["weights_sha256"] else []
    except (UserError, KeyError, TypeError, ValueError):
        return []
