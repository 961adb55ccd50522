"""Stage ``report``: tables, plots and the page, from the counts of all declared runs."""

import dataclasses
import importlib.metadata
import io
import shutil
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from etc.core.errors import UserError, first_line
from etc.core.files import atomic, read_json, write_json
from etc.core.outputs import together
from etc.core.progress import track
from etc.dataset.dataset import Dataset
from etc.evaluation.tc import frequent_classes
from etc.params import experiment, report, student
from etc.params.experiment import Kind, Network, Run
from etc.reporting import classes, clips, curves, drawing, findings, page, plots, samples, tables, terms
from etc.reporting.evaluations import Evaluation, Made

# Results live in git, which is no place for big files.
MOST_BYTES = 500_000
IOU = ["clip", "frame", "class", "tp", "fp", "fn"]
TC = ["clip", "source", "target", "flow", "protocol", "same", "counted", "class", "intersection", "union"]
HISTORY = ["step", *curves.TERMS]
# What the numbers depend on.
PACKAGES = ("etc-segmentation", "numpy", "opencv-python", "torch")
STRIP = "plots/strip.png"
# Columns of the short table.
SHORT = ("architecture", "scheme", "mIoU", "TC", tables.FREQUENT, "agreement", "ΔTC", "Δagreement", "ΔmIoU")
SHORT_NOTE = (
    "Shares in percent, means over chains; Δ in percentage points against the baseline, with the interval over chains "
    "and clips. The students of an architecture are one network. The table of all schemes is below."
)
AUDIT = ["class", "kept_share", "accuracy_before", "accuracy_kept"]


def run(dataset: str) -> str:
    """Write ``results/<dataset>/``; return the closing line.

    - ``tables/schemes.{csv,md,tex}``: one row per architecture and scheme; ``tables/runs.{csv,md}``: one row per run;
      labeller and teacher of each chain have rows like those of schemes. Shares in percent, differences in percentage
      points.
    - ``tables/terms.{csv,md}``: what each term is worth; ``tables/classes.csv``: IoU and TC per scheme and class;
      ``tables/clips.csv``: differences clip by clip.
    - ``tables/data.csv``: what each split of the data set holds.
    - ``tables/pseudo_labels.csv``: the audits of the pseudo-labels of all chains.
    - ``plots/{differences,schemes,classes,clips,losses,learning,strip,pseudo_labels}.png``, ``plots/overlay.webp``;
      ``video/``: predictions and flicker of the sample clips.
    - ``metrics.json`` for ``dvc metrics show``, ``index.html``.

    Evaluations, histories and pseudo-labels that params/experiment.yaml does not declare are moved to
    ``work/undeclared/<dataset>/``: DVC hashes their folders, so these must be the same here and in a fresh clone.

    Raises:
        UserError: an input is missing, damaged or does not fit the others.
    """
    settings, plan = report.load(dataset), experiment.load()
    runs = plan.runs()
    report.check_declared(dataset, settings, runs)
    data, output = Dataset(dataset), Path("results") / dataset
    histories = [_history(data, one) for one in runs]
    history = pd.concat(histories, ignore_index=True)
    # Steps count from 0, and a history ends with the last one.
    iterations = [int(one["step"].max()) + 1 for one in histories]
    evaluations = [_evaluation(data, one, steps) for one, steps in zip(runs, iterations, strict=True)]
    networks = plan.networks()
    every = [*evaluations, *_networks(data, networks, plan.architectures)]
    students = student.load(dataset)
    audits = pd.concat([_audit(data, seed) for seed in plan.seeds], ignore_index=True)
    audit = audits.groupby("class", sort=False, as_index=False).mean()
    shown = {name: next(one for one in runs if one.scheme == name) for name in settings.shown()}
    videos = {f"video/{one.clip}.mp4": one for one in samples.read(data, shown)}
    sample = next(iter(videos.values()))
    declared, aside = {one.name for one in (*runs, *networks)}, Path("work") / "undeclared" / dataset
    set_aside(data.folder / "evaluation", declared, aside)
    set_aside(data.folder / "history", declared | {one.name for one in plan.starts()}, aside)
    set_aside(data.folder / "pseudo_labels", {str(seed) for seed in plan.seeds}, aside / "pseudo_labels")

    frequent, rare = frequent_classes([one.tc.pooled() for one in every], settings.frequent_share)
    left_out = [data.label_set.names[one] for one in np.flatnonzero(rare)]
    # Where all are frequent, it would be TC once more.
    frequent = frequent if left_out else None
    run_table, all_runs = tables.run_table(evaluations, frequent), tables.run_table(every, frequent)
    order = list(dict.fromkeys(one.scheme for one in runs))
    schemes = tables.scheme_table(every, settings.baseline, settings.confidence, frequent)
    weights = {name: students.scheme(name) for name in order}
    distilled = [name for name, scheme in weights.items() if student.needs_teacher(scheme)]
    compared = terms.comparisons(
        run_table.groupby("scheme", sort=False)["seed"].nunique().to_dict(),
        weights,
        students.iterations_factor,
        {name: students.pseudo_share(name) for name in order},
        distilled,
    )
    worth = terms.table(evaluations, compared, settings.confidence, frequent)
    by_class = classes.table(every, settings.baseline, data.label_set)
    by_clip = clips.table(every, settings.baseline)
    foreign = tables.processor_note([one.run.name for one in every if not one.made.portable])
    note = f"{tables.note(settings.confidence, settings.frequent_share, left_out)} {foreign}".strip()
    text = tables.display(schemes)
    labelled = bool(run_table["miou"].notna().any())
    files = {
        "tables/schemes.csv": tables.csv(schemes),
        "tables/schemes.md": tables.markdown(text, note),
        "tables/schemes.tex": tables.latex(text, note),
        "tables/runs.csv": tables.csv(all_runs),
        "tables/runs.md": tables.markdown(tables.display_runs(all_runs), f"{tables.RUN_NOTE} {foreign}".strip()),
        "tables/terms.csv": tables.csv(worth),
        "tables/terms.md": tables.markdown(terms.display(worth), terms.note(settings.confidence)),
        "tables/classes.csv": tables.csv(by_class),
        "tables/clips.csv": tables.csv(by_clip),
        "tables/data.csv": tables.data_table(data.frames).to_csv(index=False),
        "tables/pseudo_labels.csv": audits.to_csv(index=False, float_format="%.4f"),
    }
    dpi = settings.plots.dpi
    drawings = {
        "plots/differences.png": lambda: drawing.png(plots.difference_crosses(_students(schemes)), dpi),
        "plots/classes.png": lambda: drawing.png(plots.class_dots(by_class, *settings.shown()[:2]), dpi),
        "plots/schemes.png": lambda: drawing.png(plots.scheme_scatter(run_table, settings.baseline), dpi),
        "plots/clips.png": lambda: drawing.png(plots.clip_dots(_main(by_clip, runs), order), dpi),
        "plots/losses.png": lambda: drawing.png(curves.loss_curves(history, settings.plots.smoothing), dpi),
        "plots/learning.png": lambda: drawing.png(curves.learning_curves(history, "iterations"), dpi),
        "plots/pseudo_labels.png": lambda: drawing.png(plots.pseudo_label_bars(audit), dpi),
        "plots/strip.png": lambda: samples.still(data, sample, settings.strip),
        "plots/overlay.webp": lambda: samples.animation(data, sample, settings.overlay),
        **{path: lambda one=one: samples.moving(data, one, settings.overlay) for path, one in videos.items()},
    }
    pictures = {name: draw() for name, draw in track(drawings.items(), len(drawings), "pictures")}
    audited = bool(audit["accuracy_before"].notna().any())
    runs_shown = [one.name for one in shown.values()]
    judged = bool(history[list(curves.JUDGED)].notna().any(axis=None))
    captions = [
        dataclasses.replace(one, width=_shown_width(pictures[one.path], dpi if one.path != STRIP else 96))
        for one in page.pictures(sample.clip, runs_shown, settings.plots.smoothing, labelled, audited, judged)
    ]
    measures = {"IoU": "iou", "TC": "tc"} if labelled else {"TC": "tc"}
    further = {"What each term is worth": page.Block(terms.display(worth), terms.note(settings.confidence))}
    for title, measure in measures.items():
        block = page.Block(classes.display(by_class, measure, settings.baseline), classes.NOTE)
        further[f"{title} per class"] = block
    main = text[text["scheme"].isin([one.scheme for one in runs]) & (text["seeds"] == str(len(plan.seeds)))]
    files["index.html"] = page.render(
        dataset,
        findings.sentences(schemes, *settings.shown()[:2], distilled),
        {one.clip: path for path, one in videos.items()},
        runs_shown,
        settings.overlay.milliseconds,
        page.Block(main[[name for name in SHORT if name in main]], SHORT_NOTE),
        page.Block(text, note),
        further,
        captions,
        labelled,
        list(files),
        page.Provenance(_versions(), plan.seeds, (output / "machine.json").is_file()),
    )
    with together():
        for name, content in {**{name: text.encode() for name, text in files.items()}, **pictures}.items():
            _write(output / name, content)
        write_json(output / "metrics.json", tables.metrics(schemes))
    for stale in {*(output / "video").iterdir()} - {output / path for path in videos}:
        stale.unlink()
    number = len({(one.architecture, one.scheme) for one in runs})
    return f"{number} schemes, {len(runs)} runs compared; tables and plots in {output}, page {output / 'index.html'}"


def set_aside(folder: Path, keep: set[str], target: Path) -> None:
    """Move everything in ``folder`` but the names in ``keep`` (without suffix) to ``target``, with a notice on stderr.

    Hidden files stay: another process may be writing them.
    """
    strangers = sorted(one for one in folder.iterdir() if one.stem not in keep and not one.name.startswith("."))
    for one in strangers:
        place = target / one.name
        target.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        shutil.move(one, place)
    if strangers:
        names = ", ".join(one.name for one in strangers)
        print(f"{folder}: {names} not declared in {experiment.PATH}; moved to {target}", file=sys.stderr)


def _evaluation(data: Dataset, one: Run, iterations: int) -> Evaluation:
    return _counts(data, one.name, one, iterations, f"run: etc evaluate {data.name} {one.options}")


def _networks(data: Dataset, networks: list[Network], architectures: list[str]) -> list[Evaluation]:
    """What the students learn from, once for each architecture of students."""
    found = []
    for one in networks:
        option = f" --seed {one.seed}"
        path = data.folder / "history" / f"{one.name}.parquet"
        steps = _parquet(path, ["step"], f"run: etc {one.kind} {data.name}{option}", may_be_empty=True)["step"]
        # A network that was taken as it is has no history here.
        iterations = int(steps.max()) + 1 if len(steps) else 0
        remedy = f"run: etc evaluate {data.name} --network {one.kind}{option}"
        for architecture in architectures:
            row = Run(architecture, one.kind, one.seed)
            found.append(_counts(data, one.name, row, iterations, remedy))
    # By architecture, as the rows of students.
    return sorted(found, key=lambda one: architectures.index(one.run.architecture))


def _main(by_clip: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """The rows of the students of as many chains as any."""
    students = by_clip[by_clip["scheme"].isin([one.scheme for one in runs])]
    chains = students.groupby("scheme")["seed"].nunique()
    return students[students["scheme"].isin(chains.index[chains == chains.max()])]


def _counts(data: Dataset, name: str, row: Run, iterations: int, remedy: str) -> Evaluation:
    """The evaluation called ``name``, as the row ``row`` of the tables."""
    folder = data.folder / "evaluation" / name
    # Data without labels has no IoU.
    iou = _parquet(folder / "iou.parquet", IOU, remedy, may_be_empty=True)
    tc = _parquet(folder / "tc.parquet", TC, remedy)
    made = _made(folder / "made.json", remedy)
    return Evaluation.from_tables(row, iou, tc, data.label_set.count, iterations, made)


def _made(path: Path, remedy: str) -> Made:
    _require(path, remedy)
    made = read_json(path)
    for name in Made._fields:
        if not isinstance(made, dict) or name not in made:
            raise UserError(f"{path}: no key '{name}'; {remedy}")
    return Made(**{name: made[name] for name in Made._fields})


def _history(data: Dataset, one: Run) -> pd.DataFrame:
    remedy = f"run: etc student {data.name} {one.options}"
    history = _parquet(data.folder / "history" / f"{one.name}.parquet", HISTORY, remedy)
    history = history.reindex(columns=[*HISTORY, *curves.JUDGED]).assign(iterations=history["step"] + 1)
    return history.assign(architecture=one.architecture, scheme=one.scheme, seed=one.seed)


def _audit(data: Dataset, seed: int) -> pd.DataFrame:
    path = data.folder / "pseudo_labels" / str(seed) / "audit.csv"
    remedy = f"run: etc pseudo-labels {data.name} --seed {seed}"
    _require(path, remedy)
    try:
        audit = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as CSV ({first_line(error)}); {remedy}") from error
    audit = _with_columns(path, audit, AUDIT, remedy)
    audit.insert(0, "seed", seed)
    return audit


def _shown_width(png: bytes, dpi: int) -> int:
    """CSS pixels of a picture drawn with so many dots an inch."""
    with Image.open(io.BytesIO(png)) as picture:
        return round(picture.width * 96 / dpi)


def _students(schemes: pd.DataFrame) -> pd.DataFrame:
    return schemes[~schemes["scheme"].isin(get_args(Kind))]


def _versions() -> dict[str, str]:
    """Of the packages that the numbers depend on, without the names of builds."""
    return {name: importlib.metadata.version(name).partition("+")[0] for name in PACKAGES}


def _parquet(path: Path, columns: list[str], remedy: str, may_be_empty: bool = False) -> pd.DataFrame:
    _require(path, remedy)
    try:
        table = pd.read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not readable as Parquet ({first_line(error)}); delete it and {remedy}") from error
    if table.empty and not may_be_empty:
        raise UserError(f"{path}: holds no rows; {remedy}")
    return _with_columns(path, table, columns, remedy)


def _with_columns(path: Path, table: pd.DataFrame, columns: list[str], remedy: str) -> pd.DataFrame:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"{path}: no column '{missing[0]}'; {remedy}")
    return table


def _require(path: Path, remedy: str) -> None:
    if not path.exists():
        raise UserError(f"{path}: no such file; {remedy}")


def _write(path: Path, content: bytes) -> None:
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{path}: {len(content)} bytes, more than the {MOST_BYTES} that results may have in git; lower dpi, "
            f"frames, panel_width or quality in {report.PATH}"
        )
    with atomic(path) as stream:
        stream.write(content)
