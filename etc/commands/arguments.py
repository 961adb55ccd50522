"""Arguments that several commands share."""

import os
from typing import Annotated

import typer

Dataset = Annotated[str, typer.Argument(help="Data set: one of 'run' in params/experiment.yaml, e.g. street.")]
ARCHITECTURE = typer.Option(help="Student network: one of architectures in params/experiment.yaml.")
SCHEME = typer.Option(help="Training scheme, a name from 'schemes' in params/student.yaml.")
Architecture, Scheme = Annotated[str, ARCHITECTURE], Annotated[str, SCHEME]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**31 - 1,
        help="Seed of initial weights, sample order and augmentation, and of the chain: one of seeds in "
        "params/experiment.yaml.",
    ),
]
CORES = os.cpu_count() or 1
Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes; the result does not depend on it.")]
