"""``etc crate``: a finished run as one file for archives."""

from pathlib import Path
from typing import Annotated

import typer

from etc.commands.arguments import Dataset
from etc.commands.run import run
from etc.core.errors import UserError


def crate(
    dataset: Dataset, to: Annotated[Path, typer.Option(help="The .zip to write, e.g. street.crate.zip.")]
) -> None:
    """Write a finished run as a Workflow Run RO-Crate.

    It holds the workflow, the parameters, dvc.lock and the results, but no frames of third parties and no networks.
    """
    run(lambda: print(_written(dataset, to)))


def _written(dataset: str, to: Path) -> str:
    import zipfile

    from etc.core.outputs import check_files

    if to.suffix != ".zip":
        raise UserError(f"--to {to}: a crate is a .zip; give it this ending")
    check_files({to: lambda found: "ro-crate-metadata.json" in zipfile.ZipFile(found).namelist()})
    try:
        from etc import crate as module
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rocrate":
            raise
        raise UserError("rocrate is not installed: pip install 'etc-segmentation[crate]'") from error
    return module.write(dataset, to)
