"""``etc quick``: a first look at a data set in minutes."""

from typing import Annotated

import typer

from etc.commands.arguments import Dataset
from etc.commands.run import run


def quick(
    dataset: Dataset,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Optimiser steps of each training.")] = 100,
) -> None:
    """Take a first look at a data set in minutes.

    Two students, with and without the motion loss, of one short chain in work/quick-DATASET: all stages from frames to
    page, with few steps of training. Nothing else is changed. The data set needs its blocks in params/ (`etc adopt`),
    and need not be in 'run'.
    """
    from etc.quick import run as look

    run(lambda: print(look(dataset, steps)))
