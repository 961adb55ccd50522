"""``etc frames``: make or find the frames of a data set, or verify them."""

from typing import Annotated

import typer

from etc.commands.arguments import CORES, Dataset, Workers
from etc.commands.run import run, run_stage

Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file, print a table of the problems, and change nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Agree to downloads, whose sizes are printed first.")]


def frames(dataset: Dataset, verify: Verify = False, yes: Yes = False, workers: Workers = CORES) -> None:
    """Make or find the frames of a data set.

    Writes data/DATASET/frames.parquet, one row a frame. For 'street' this renders the clips with their labels, exact
    flow and exact visibility. Frames of other data sets stay where they are; docs/datasets.md says how to bring them
    in. --verify also writes its table to work/DATASET/verification.parquet, and exits with 1 when a file is missing or
    wrong.
    """
    from etc.stages import frames as stage

    if verify:
        run(lambda: _verify(dataset, workers))
    else:
        run_stage(lambda: stage.run(dataset, workers, yes))


def _verify(dataset: str, workers: int) -> None:
    from pathlib import Path

    import pyarrow.parquet as pq

    from etc.commands.verification_text import text
    from etc.core.errors import UserError, many
    from etc.core.files import atomic
    from etc.core.outputs import check_place
    from etc.sources.check.verification import problems, table
    from etc.stages import frames as stage

    path = Path("work") / dataset / "verification.parquet"
    check_place(path)
    report = stage.verify(dataset, workers)
    with atomic(path) as stream:
        pq.write_table(table(report), stream)
    print(text(report))
    if wrong := problems(report):
        raise UserError(
            f"{dataset}: {many(wrong, 'file is', 'files are')} missing or wrong; all of them are listed in {path}"
        )
    warnings = len(report.findings)
    verdict = f"no file is missing or wrong, warnings: {warnings}" if warnings else "nothing is wrong"
    print(f"{verdict}; the table in full: {path}")
