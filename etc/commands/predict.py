"""``etc predict``: the predictions of a trained network on a video, on pictures, of a camera or of a data set."""

import re
from pathlib import Path
from typing import Annotated

import typer

from etc.commands import completion
from etc.commands.arguments import Trained
from etc.commands.run import run as _run


def predict(
    run: Trained,
    source: Annotated[
        str,
        typer.Argument(
            help="A video, a folder of frames, the number of a camera, or a data set.",
            autocompletion=completion.datasets,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Video to write, .mp4 or .webm, or .mkv for ids; or a folder."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a data set: train, dev, test or all; default: test.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="overlay, colours or ids; of a data set also labels, or cityscapes (for its official evaluation). "
            "Default: ids in a folder and in .mkv, overlay in other videos and with --compare or --flicker."
        ),
    ] = None,
    labelled: Annotated[bool, typer.Option("--labelled", help="Of a data set, only frames that have a label.")] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="A second network, shown beside the first, or with --flicker below it.", autocompletion=completion.runs
        ),
    ] = None,
    flicker: Annotated[
        bool, typer.Option("--flicker", help="Add where the class changes against the motion, now and so far.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also measure pixel agreement and flip rate, as `etc tc` does.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Only show the figures of --measure; write nothing.")] = False,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH that frames are brought to first.")] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU when there is one), cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network: slow at first, then faster.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a video that exists, or pictures that this command made.")
    ] = False,
) -> None:
    """Segment a video, pictures, a camera or a data set.

    A video shows the classes over its frames; Ctrl-C ends it early, and it plays. A folder gets one PNG a frame,
    CLIP/FRAME.png: with ids, which `etc tc --predictions` reads, as it does a video of ids (.mkv). docs/video.md has
    examples.
    """
    from typing import get_args

    from etc.core.errors import UserError
    from etc.prediction import outputs, sources, streaming, writing

    def chosen(option: str, value: str, allowed: tuple[str, ...]) -> str:
        if value not in allowed:
            raise UserError(f"{option} {value}: choose one of {', '.join(allowed)}")
        return value

    def action() -> None:
        if (to is None) != show:
            raise UserError("say where to write with --to, or --show to write nothing and see the figures")
        if to == Path():
            raise UserError("--to: names the current folder, or nothing; name a video, or a folder for the pictures")
        # A path has one slash where an address has two.
        if to is not None and re.match(r"[a-z]+:/", str(to)):
            raise UserError(f"--to {to}: not a path of this machine; name a video or a folder")
        video = to is not None and outputs.is_video(to)
        of_ids = video and to.suffix.lower() == outputs.IDS
        shape = form or ("overlay" if (video and not of_ids) or flicker or compare else "ids")
        streamed = (video, show, compare, flicker, measure, size, compiled, device != "auto", precision != "fp32")
        if sources.is_data_set(source) and not any(streamed):
            print(
                writing.write(
                    run, source, to, split or "test", chosen("--form", shape, get_args(writing.Form)), labelled, force
                )
            )
            return
        if labelled or shape in ("labels", "cityscapes"):
            option = "--labelled" if labelled else f"--form {shape}"
            raise UserError(f"{option}: only for a data set that is written to a folder, with no other option")
        if show and (compare or flicker):
            raise UserError("--show: only shows figures; see --compare and --flicker in a video, with --to")
        wanted = streaming.Wanted(
            form=chosen("--form", shape, get_args(streaming.Form)),
            compare=compare,
            flicker=flicker,
            measure=measure or show,
            device=chosen("--device", device, ("auto", "cpu", "cuda")),
            precision=chosen("--precision", precision, get_args(streaming.Precision)),
            compiled=compiled,
            size=None if size is None else sources.parse_size(size),
            force=force,
        )
        if video and (wanted.form == "ids") != of_ids:
            if of_ids:
                raise UserError(f"{to}: holds ids; for --form {wanted.form} choose {outputs.FOR_THE_EYE}")
            raise UserError(
                f"--form ids: {to.suffix} would not keep them exactly; choose a name that ends in {outputs.IDS}, or a "
                "folder"
            )
        line, stopped = streaming.stream(run, source, to, split, wanted)
        print(line)
        if stopped:
            raise SystemExit(130)

    _run(action)
