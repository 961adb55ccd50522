"""``etc predict``: the predictions of a trained network on the frames of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from etc.commands.arguments import Dataset
from etc.commands.run import run as _run


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a trained network, e.g. data/street/students/pspnet18-etc-0.")],
    dataset: Dataset,
    to: Annotated[Path, typer.Option(help="Folder to write; files in it that are not from this command are kept.")],
    split: Annotated[str, typer.Option(help="train, dev, test or all.")] = "test",
    form: Annotated[
        str, typer.Option(help="ids, labels, colours, overlay, or cityscapes (for its official evaluation).")
    ] = "ids",
    labelled: Annotated[bool, typer.Option("--labelled", help="Only frames that have a label.")] = False,
) -> None:
    """Write the predictions of a trained network, one PNG a frame: DIR/CLIP/FRAME.png.

    ids are train ids, which `etc tc --predictions` reads; labels are the ids of the label files. Run `etc frames
    DATASET` first.
    """
    from typing import get_args

    from etc.core.errors import UserError
    from etc.prediction import writing

    def action() -> None:
        if form not in get_args(writing.Form):
            raise UserError(f"--form {form}: choose one of {', '.join(get_args(writing.Form))}")
        print(writing.write(run, dataset, to, split, form, labelled))

    _run(action)
