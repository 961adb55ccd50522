"""Arguments that several commands share."""

import os
from typing import Annotated

import typer

Dataset = Annotated[str, typer.Argument(help="Data set: one of 'run' in params/experiment.yaml, e.g. street.")]
CORES = os.cpu_count() or 1
Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes; the result does not depend on it.")]
