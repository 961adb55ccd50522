"""``etc tc``: temporal consistency of a folder of predictions, without the pipeline."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etc.commands.arguments import CORES, Workers
from etc.commands.run import run
from etc.core.errors import UserError

if TYPE_CHECKING:
    from etc.dataset.label_sets import LabelSet
    from etc.measure.run import Request


def tc(
    context: typer.Context,
    predictions: Annotated[
        Path,
        typer.Option(
            help="Folder of class id PNGs, a folder per clip or names of Cityscapes or CamVid; or a lossless video."
        ),
    ],
    frames: Annotated[
        Path | None,
        typer.Option(help="Folder of the frames (PNG or JPEG), same layout, or their video; needed to compute flow."),
    ] = None,
    flow: Annotated[
        str, typer.Option(help="dis, farneback, raft, FILE.onnx, or a folder of .flo, KITTI PNG or .arrow files.")
    ] = "dis",
    preset: Annotated[str, typer.Option(help="Quality of dis: ultrafast, fast or medium.")] = "medium",
    flow_option: Annotated[
        list[str], typer.Option(help="Parameter of raft, an ONNX network or another method, name=value; repeatable.")
    ] = [],  # noqa: B006
    protocol: Annotated[
        str, typer.Option(help="corrected, occlusion_aware, etc_released or vspw_released.")
    ] = "corrected",
    ignore: Annotated[list[int], typer.Option(min=0, max=255, help="Id that is not counted; may be repeated.")] = [255],  # noqa: B006
    classes: Annotated[
        int | None, typer.Option(min=1, max=255, help="Number of classes; default: the largest id found, plus one.")
    ] = None,
    label_set: Annotated[
        str | None, typer.Option(help="Data set whose class names the table shows, e.g. cityscapes; sets --classes.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Truth, as the predictions: adds mIoU, VC8, VC16.")] = None,
    label_offset: Annotated[
        int, typer.Option(min=0, max=254, help="Labels hold the class plus N, e.g. 1 where 0 is void (VSPW, ADE20K).")
    ] = 0,
    probabilities: Annotated[
        Path | None, typer.Option(help="Folder of .npy or .npz (C, H, W), same layout: adds the warp error.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Other predictions: adds the paired comparison.")] = None,
    sample: Annotated[
        str | None, typer.Option(help="Clips to judge: cityscapes_tc, a text FILE of names, or a share such as 0.2.")
    ] = None,
    sample_seed: Annotated[int, typer.Option(min=0, help="Which clips the share takes.")] = 0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out pairs with bad input and list them, instead of stopping.")
    ] = False,
    workers: Workers = CORES,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the counts of each pair and class to this file.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page to this file, with the pairs of frames that agree least as pictures."),
    ] = None,
) -> None:
    """Measure the temporal consistency of predictions.

    No training and no labels are needed. Compares each prediction with the next one, warped back by optical flow.
    Prints TC with its interval over clips, per class and per clip, pixel agreement, flip rate, and every pair that was
    left out, with the reason. docs/tc.md explains folders, options and output.
    """
    from etc.dataset.label_sets import label_set as find_label_set
    from etc.measure.run import Request

    def action() -> None:
        labelled = None if label_set is None else find_label_set(label_set)
        if labelled and classes not in (None, labelled.count):
            raise UserError(
                f"--classes {classes}: the label set {label_set} has {labelled.count} classes; leave it out"
            )
        request = Request(
            predictions=predictions,
            frames=frames,
            flow=flow,
            preset=preset,
            flow_options=tuple(flow_option),
            protocol=protocol,
            ignore=tuple(sorted(set(ignore))),
            classes=labelled.count if labelled else classes,
            labels=labels,
            label_offset=label_offset,
            probabilities=probabilities,
            against=against,
            sample=sample,
            sample_seed=sample_seed,
            skip_bad=skip_bad,
            workers=workers,
        )
        _judge(request, labelled, json, parquet, html, _typed(context))

    run(action)


def _judge(
    request: "Request",
    label_set: "LabelSet | None",
    json: Path | None,
    parquet: Path | None,
    html: Path | None,
    command: str,
) -> None:
    from etc.colours import label_set_of
    from etc.core.files import atomic, write_json
    from etc.core.outputs import check_files, together
    from etc.evaluation.counts import pair_records, write_counts
    from etc.measure.page import page
    from etc.measure.run import evaluate_folders
    from etc.measure.text import print_figures

    def coloured(classes: int) -> "LabelSet":
        return label_set or label_set_of([str(one) for one in range(classes)])

    outputs = [(json, _holds_figures), (parquet, _holds_counts), (html, _holds_page)]
    check_files([(path, made) for path, made in outputs if path], _inputs(request))
    outcome = evaluate_folders(request, coloured if html else None)
    figures = outcome.figures
    with together():
        if json:
            write_json(json, figures)
        if parquet:
            records = [record for pair in outcome.results for record in pair_records(pair)]
            write_counts(parquet, records, figures["classes"])
        if html:
            colours = coloured(figures["classes"])
            with atomic(html, "w") as stream:
                stream.write(page(figures, outcome.examples, colours, label_set is not None, command))
    print_figures(figures, label_set.names if label_set else None)


def _typed(context: typer.Context) -> str:
    """The command with the options that were given, as a shell takes it."""
    words = ["etc", "tc"]
    for one in context.command.params:
        if context.get_parameter_source(one.name).name == "COMMANDLINE":
            value = context.params[one.name]
            if one.is_flag:
                words.append(one.opts[0])
            else:
                words += [word for each in (value if one.multiple else [value]) for word in (one.opts[0], str(each))]
    return shlex.join(words)


def _inputs(request: "Request") -> list[Path]:
    """Files and folders that are read; an option that names a method or a share is no path that is there."""
    folders = (request.predictions, request.frames, request.labels, request.probabilities, request.against)
    values = [option.partition("=")[2] for option in request.flow_options]
    paths = [*folders, *map(Path, filter(None, (request.flow, request.sample, *values)))]
    return [path for path in paths if path is not None and path.exists()]


def _holds_figures(path: Path) -> bool:
    from etc.core.files import read_json

    return {"protocol", "tc", "pairs", "clips"} <= read_json(path).keys()


def _holds_counts(path: Path) -> bool:
    import pyarrow.parquet as pq

    return {"clip", "source", "target", "protocol", "intersection", "union"} <= set(pq.read_schema(path).names)


def _holds_page(path: Path) -> bool:
    from etc.core.files import read_text
    from etc.measure.page import MARK

    return MARK in read_text(path)[:200]
