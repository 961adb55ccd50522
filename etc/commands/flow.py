"""``etc flow``: the stage, and flow files in and out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from etc.commands.arguments import CORES, Dataset, Workers
from etc.commands.default import DefaultCommandGroup
from etc.commands.run import run, run_stage

Format = StrEnum("Format", ["flo", "kitti"])

flow = typer.Typer(
    cls=DefaultCommandGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Compute, export or import optical flow. 'etc flow DATASET …' is short for 'etc flow compute DATASET …'.",
)


@flow.command("compute")
def compute_flow(
    dataset: Dataset,
    purpose: Annotated[
        str, typer.Option(help="What the flow is for: train, evaluate or compare (blocks of params/flow.yaml).")
    ] = "train",
    workers: Workers = CORES,
) -> None:
    """Compute optical flow once per pair of frames and keep it in data/DATASET/flow, one file a clip."""
    from etc.stages import flow as stage

    run_stage(lambda: stage.run(dataset, purpose, workers))


@flow.command("export")
def export_flow(
    source: Annotated[Path, typer.Argument(help="A flow file (clip.arrow), or a folder of them.")],
    to: Annotated[Path, typer.Option(help="Folder that gets CLIP/SOURCE_TARGET.flo (or .png).")],
    format: Annotated[
        Format, typer.Option(help="flo: Middlebury, float32. kitti: 16-bit PNG with a mask of valid pixels.")
    ] = Format.flo,
) -> None:
    """Write stored flow as .flo or KITTI PNG, one file a pair, for other programs."""
    from etc import flow_exchange

    run(lambda: print(flow_exchange.export(source, to, format.value)))


@flow.command("import")
def import_flow(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of [CLIP_]SOURCE_TARGET.flo or .png or KITTI's own names, or of such folders, one a clip."
        ),
    ],
    to: Annotated[Path, typer.Option(help="The flow file to write (clip.arrow); for several clips, a folder.")],
    steps_per_pixel: Annotated[int, typer.Option(min=1, max=128, help="Precision: steps of 1/N pixels.")] = 16,
    scale: Annotated[int, typer.Option(help="Stored size: 1/N of the frame's sides; 1, 2 or 4.")] = 1,
) -> None:
    """Pack .flo files or KITTI PNGs into flow files, one a clip."""
    from etc import flow_exchange

    run(lambda: print(flow_exchange.pack(source, to, 1 / steps_per_pixel, scale)))
