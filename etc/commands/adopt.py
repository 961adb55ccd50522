"""``etc adopt``: from one block in params/frames.yaml to all blocks of a data set."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from etc.commands import completion
from etc.commands.run import run


def adopt(
    name: Annotated[
        str,
        typer.Argument(
            help="Data set: the name of its block in params/frames.yaml.", autocompletion=completion.datasets
        ),
    ],
    like: Annotated[
        str | None,
        typer.Option(
            help="Data set whose blocks are copied, e.g. street; not for a data set that has its own.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    networks_of: Annotated[
        str | None,
        typer.Option(
            help="Data set whose trained networks label the frames and start the students; default: that of --like "
            "for data without labels, none for data with labels.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--run",
            help="Make it the only data set that params/experiment.yaml runs, with networks of its block.",
        ),
    ] = False,
) -> None:
    """Bring in your own data: add its blocks to params/.

    Once its block is in params/frames.yaml, this adds one to every other file. The blocks are those of another data
    set, changed where they must be: no exact flow for real frames, class weights only for the same classes, and for
    data without labels pseudo-labels alone and the trained networks of another data set. Prints what was changed and
    what to check. A data set that has its blocks, as camvid does, is chosen with --run alone.
    """
    from etc.adopt import adopt as add
    from etc.adopt import choose as choose_alone
    from etc.core.errors import UserError
    from etc.params import experiment

    def action() -> None:
        if like is None:
            if networks_of is not None or not choose:
                raise UserError("say --like DATASET to add blocks, or --run alone to run a data set that has its own")
            choose_alone(name)
        for path, changed, look_at in add(name, like, networks_of, choose) if like else ():
            print(f"{path}: block '{name}' like '{like}'{_listed('; changed: ', changed)}")
            if look_at:
                print(_listed("    look at ", look_at))
        plan = experiment.load()
        if name in plan.run:
            print(f"{experiment.PATH}: run: [{', '.join(plan.run)}], architectures: [{', '.join(plan.architectures)}]")
        else:
            print(f"To run it alone: etc adopt {name} --run")

    run(action)


def _listed(start: str, values: Mapping[tuple[str, ...], Any]) -> str:
    from yaml import safe_dump

    def shown(value: Any) -> str:
        return safe_dump([value], default_flow_style=True, width=1000).strip()[1:-1]

    return start + ", ".join(f"{'.'.join(keys)}: {shown(value)}" for keys, value in values.items()) if values else ""
