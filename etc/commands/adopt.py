"""``etc adopt``: from one block in params/frames.yaml to all blocks of a data set."""

from typing import TYPE_CHECKING, Annotated

import typer

from etc.commands.run import run

if TYPE_CHECKING:
    from etc.adoption.changes import Values


def adopt(
    name: Annotated[str, typer.Argument(help="Data set: the name of its block in params/frames.yaml.")],
    like: Annotated[str, typer.Option(help="Data set whose blocks are copied, e.g. street.")],
    networks_of: Annotated[
        str | None,
        typer.Option(
            help="Data set whose trained networks label the frames and are the start of the students; default: that "
            "of --like for data without labels, none for data with labels."
        ),
    ] = None,
    choose: Annotated[
        bool, typer.Option("--run", help="Also make it the data set that params/data.yaml runs, alone.")
    ] = False,
) -> None:
    """Bring in own data: give it a block in every file of params/ after one was written in params/frames.yaml.

    The blocks are those of another data set, copied with their comments, and changed where they must be: no exact flow
    for real frames, class weights only for the same classes, and for data without labels pseudo-labels alone and the
    trained networks of another data set. Prints what was changed and what to look at.
    """
    from etc.adoption.adopt import adopt as add
    from etc.params import experiment as data

    def action() -> None:
        for path, changed, look_at in add(name, like, networks_of, choose):
            print(f"{path}: block '{name}' like '{like}'{_listed('; changed: ', changed)}")
            if look_at:
                print(_listed("    look at ", look_at))
        names = data.load().run
        if name in names:
            print(f"{data.PATH}: run: [{', '.join(names)}]")
        else:
            print(f"It takes part when {data.PATH} says so: run: [{', '.join([*names, name])}], or [{name}] alone")

    run(action)


def _listed(start: str, values: "Values") -> str:
    from etc.adoption.block_text import shown

    return start + ", ".join(f"{'.'.join(keys)}: {shown(value)}" for keys, value in values.items()) if values else ""
