"""Arguments that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from etc.commands import completion

Dataset = Annotated[
    str,
    typer.Argument(
        help="Data set: one of 'run' in params/experiment.yaml, e.g. street.", autocompletion=completion.datasets
    ),
]
ARCHITECTURE = typer.Option(
    help="Student network: one of architectures in params/experiment.yaml.", autocompletion=completion.architectures
)
SCHEME = typer.Option(
    help="Training scheme, a name from 'schemes' in params/student.yaml.", autocompletion=completion.schemes
)
Architecture, Scheme = Annotated[str, ARCHITECTURE], Annotated[str, SCHEME]
Trained = Annotated[
    Path,
    typer.Argument(
        help="Folder of a trained network, e.g. data/street/students/pspnet18-etc-0.", autocompletion=completion.runs
    ),
]
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
