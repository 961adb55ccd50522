"""The ``etc`` command: one command a stage, and commands to look at the results. Logic lives elsewhere."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from etc.commands.adopt import adopt
from etc.commands.arguments import Architecture, Dataset, Scheme, Seed, Trained
from etc.commands.crate import crate
from etc.commands.doctor import doctor
from etc.commands.evaluate import evaluate
from etc.commands.flow import flow
from etc.commands.frames import frames
from etc.commands.plan import plan
from etc.commands.predict import predict
from etc.commands.quick import quick
from etc.commands.run import check_address_space, reported
from etc.commands.run import run as _run
from etc.commands.run import run_stage as _stage
from etc.commands.show import show
from etc.commands.tc import tc
from etc.commands.verify import verify
from etc.version import version as package_version

app = typer.Typer(
    no_args_is_help=True,
    # Rich would draw boxes, and cost more than all else that --help loads.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Temporally consistent per-frame semantic video segmentation (ETC, ECCV 2020), stage by stage.",
)

app.command()(adopt)
app.command()(frames)


@app.command()
def labeller(dataset: Dataset, seed: Seed) -> None:
    """Train the network that labels other frames.

    It is as large as the teacher, and learns from the annotated training frames only.
    """
    from etc.stages import labeller as stage

    _stage(lambda: stage.run(dataset, seed))


@app.command()
def pseudo_labels(dataset: Dataset, seed: Seed) -> None:
    """Label unlabelled training frames by the labeller.

    It is the labeller of the same seed. Averages over scales and flip, keeps the most confident pixels of each class
    and sets the rest to ignore. Writes labels.parquet and the audit table audit.csv to data/DATASET/pseudo_labels/SEED.
    """
    from etc.stages import pseudo_labels as stage

    _stage(lambda: stage.run(dataset, seed))


app.add_typer(flow, name="flow")


@app.command()
def teacher(dataset: Dataset, seed: Seed) -> None:
    """Train the network that the students learn from.

    It learns from annotated and pseudo-labelled frames, with cross-entropy and the motion loss.
    """
    from etc.stages import teacher as stage

    _stage(lambda: stage.run(dataset, seed))


@app.command()
def pretrain(dataset: Dataset, seed: Seed, architecture: Architecture = "pspnet18") -> None:
    """Train the network that the students start from.

    It is that of one seed, and learns from the annotated training frames only.
    """
    from etc.stages import pretrain as stage

    _stage(lambda: stage.run(dataset, architecture, seed))


@app.command()
def student(dataset: Dataset, scheme: Scheme, seed: Seed, architecture: Architecture = "pspnet18") -> None:
    """Train one student. A killed run continues from its last checkpoint and ends with the same weights."""
    from etc.stages import student as stage

    _stage(lambda: stage.run(dataset, architecture, scheme, seed))


app.command()(evaluate)


@app.command()
def report(dataset: Dataset) -> None:
    """Write the tables, the plots and the page.

    The page is results/DATASET/index.html. All come from the counts of all runs.
    """
    from etc.stages import report as stage

    _stage(lambda: stage.run(dataset))


app.command()(quick)
app.command()(predict)
app.command()(tc)
app.command()(show)
app.command()(verify)
app.command()(doctor)
app.command()(plan)
app.command()(crate)


@app.command()
def networks() -> None:
    """Print the networks that this package builds.

    With their output stride, parameters, and multiply-accumulates at 1024 x 2048.
    """
    from etc import networks as module

    _run(lambda: print(module.table()))


@app.command()
def export(
    run: Trained,
    to: Annotated[Path, typer.Option(help="File to write: .onnx, or .pt2 for torch.export.load.")],
    height: Annotated[int, typer.Option(min=1, help="Height of the images in pixels; it is fixed in the file.")] = 1024,
    width: Annotated[int, typer.Option(min=1, help="Width of the images in pixels; it is fixed in the file.")] = 2048,
    dynamic: Annotated[
        bool,
        typer.Option("--dynamic", help="Leave the size open: steps of 32 from 224 on; the above is compared."),
    ] = False,
) -> None:
    """Write a trained network as one file.

    The file runs without this package; that it computes the same is checked. It maps one image, float32 (1, 3, HEIGHT,
    WIDTH), RGB in 0..1, to the class scores of every pixel.
    """
    from etc import export as module

    _run(lambda: print(module.export(run, to, (height, width), dynamic)))


@app.command()
def check() -> None:
    """Check all files of params/ without running anything."""
    from etc.stages import check as stage

    _stage(stage.run)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"etc {package_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the command as a whole."""


def main() -> None:
    """Entry point of ``etc`` and ``python -m etc``."""
    from etc.commands.own_code import use_own_code

    # A sixth of a stage's start-up is Python looking for garbage among the modules that it loads.
    gc.set_threshold(50_000)
    with reported():
        check_address_space()
        use_own_code()
        app(prog_name="etc")


if __name__ == "__main__":
    main()
