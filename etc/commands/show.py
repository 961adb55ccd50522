"""``etc show``: the table of schemes of every data set, measured times, and where the other results are."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etc.commands import completion
from etc.commands.run import run
from etc.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Marks a picture of this command, which may be replaced.
CURVES = "etc show --curves"
# DVC shows every parameter and metric, hundreds of columns, and has no setting for less. Here: what differs, of the
# metrics mIoU and TC.
EXPERIMENTS = ("exp", "show", "--only-changed", "--drop", r".*\.(agreement|tc_visible)$")


def show(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="Data set; all of 'run' in params/experiment.yaml if left out.", autocompletion=completion.datasets
        ),
    ] = None,
    curves: Annotated[
        Path | None,
        typer.Option(help="PNG to write: mIoU and TC on dev against seconds of training, of students trained here."),
    ] = None,
    experiments: Annotated[
        bool,
        typer.Option("--experiments", help="Instead, what differs between experiments of `dvc exp run`."),
    ] = False,
) -> None:
    """Print the tables and where the other results are.

    One table of schemes for every data set; the last columns are seconds of training and milliseconds a frame, of
    networks that were trained and judged in this folder.
    """
    from etc.params import experiment

    def action() -> None:
        if experiments:
            raise UserError("--experiments: they are of all data sets; leave DATASET and --curves out")
        datasets = [dataset] if dataset else experiment.load().run
        if curves is not None:
            if len(datasets) != 1:
                raise UserError(f"--curves: name the data set, one of {', '.join(datasets)}")
            write_curves(datasets[0], curves)
        print("\n".join(map(results_text, datasets)))

    if experiments and not (dataset or curves):
        # A process of its own: what it prints is made for the terminal.
        raise SystemExit(subprocess.run([sys.executable, "-m", "dvc", *EXPERIMENTS]).returncode)
    run(action)


def write_curves(dataset: str, path: Path) -> None:
    """Write the learning curves against seconds of the declared students that were trained and judged here.

    Raises:
        UserError: there is none, or a file that this command did not make is in the way.
    """
    import pandas as pd

    from etc.core.files import atomic
    from etc.core.outputs import check_files
    from etc.params import experiment, report
    from etc.reporting import curves, drawing

    check_files({path: lambda found: f"Title\0{CURVES}".encode() in found.read_bytes()[:1000]})
    data = Path("data") / dataset
    histories = [
        history.assign(architecture=one.architecture, scheme=one.scheme, seed=one.seed)
        for one in experiment.load().runs()
        if (history := _judged(data / "history" / f"{one.name}.parquet", data / "students" / one.name)) is not None
    ]
    if not histories:
        raise UserError(
            f"{data}: no student was trained here and judged on dev; set 'training.judge_every' in params/student.yaml"
        )
    picture = drawing.png(
        curves.learning_curves(pd.concat(histories), "seconds"), report.load(dataset).plots.dpi, Title=CURVES
    )
    with atomic(path) as stream:
        stream.write(picture)


def _judged(history: Path, network: Path) -> "pd.DataFrame | None":
    """The judgements of one training with the seconds before each; None where they are not known."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from etc.reporting.curves import JUDGED

    timing = _timing(network / "timing.json", network)
    if not timing or not timing.get("judged") or not history.is_file():
        return None
    try:
        table = pd.read_parquet(history)
        steps, seconds = np.array(timing["judged"], float).T
    except (pa.ArrowException, OSError, TypeError, ValueError):
        return None  # damaged: the report names a history, and this file of times is nobody's input
    if not set(JUDGED) <= set(table.columns):
        return None
    # A row is named by its last step, and holds the last judgement up to there.
    rows = np.flatnonzero(table[list(JUDGED)].notna().any(axis=1))
    if not np.array_equal(rows, np.unique(np.searchsorted(table["step"], steps))):
        return None  # the history came from a cache: equal weights, judged at other steps
    table = table.iloc[rows]
    return table.assign(seconds=seconds[np.searchsorted(steps, table["step"], side="right") - 1])


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
    timing = _timing(path, network)
    try:
        return [float(timing[key])] if timing else []
    except (KeyError, TypeError, ValueError):
        return []


def _timing(path: Path, network: Path) -> dict[str, Any] | None:
    """What a file of times holds; None where it is about other weights than those in ``network``, or is not there."""
    from etc.core.files import read_json

    try:
        timing, config = read_json(path), read_json(network / "config.json")
        return timing if timing["weights_sha256"] == config["weights_sha256"] else None
    except (UserError, KeyError, TypeError):
        return None
