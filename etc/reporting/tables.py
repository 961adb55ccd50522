"""From counts to tables. Ratios are formed last, from integer counts pooled over frames or pairs.

All shares are in percent and all differences in percentage points, rounded to two decimals when a table is finished.
"""

import hashlib
from collections.abc import Mapping, Sequence
from io import StringIO

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from etc.evaluation.iou import mean_ratio
from etc.evaluation.tc import pixel_agreement, temporal_consistency
from etc.reporting.differences import ENDS, deltas, pairs
from etc.reporting.evaluations import Evaluation

# Columns of words; all others hold numbers.
WORDS = {"architecture", "scheme", "against", "term", "class"}
# Title of TC over the classes that all runs predict often enough.
FREQUENT = "TC frequent"
# Marks an interval that holds for one chain.
MARK = "†"
ONE_CHAIN = f"{MARK} One chain: the interval is over clips alone and holds for this labeller, teacher and start."
RUN_NOTE = "One row per run. Shares in percent. The note of schemes.md says what the columns are."
SHARES = ["miou", "pixel_accuracy", "tc", "tc_frequent", "tc_visible", "agreement", "tc_compare"]
# Of one network, whatever its seed.
COST = ["parameters", "gmac"]
RUN_COLUMNS = ["architecture", "scheme", "seed", *SHARES, "iterations", *COST]
DELTA_COLUMNS = [f"delta_{metric}{end}" for metric in ("tc", "tc_frequent", "agreement", "miou") for end in ENDS]
SCHEME_COLUMNS = [
    *["architecture", "scheme", "seeds", "miou_mean", "miou_std", "pixel_accuracy_mean", "tc_mean", "tc_std"],
    *["tc_frequent_mean", "tc_visible_mean", "agreement_mean", "iterations", *COST],
    "delta_chains",
    *DELTA_COLUMNS,
    "tc_compare_mean",
]
# Numbers with another form than two decimals; a mean of iterations may have some.
FORMS = {"iterations": ".10g", "delta_chains": ".10g", "parameters": ".10g", "gmac": ".4g"}


def run_table(evaluations: list[Evaluation], frequent: np.ndarray | None = None) -> pd.DataFrame:
    """One row per run with the columns ``RUN_COLUMNS``; shares in percent, not rounded, NaN without labels.

    Args:
        evaluations: the runs.
        frequent: bool (C,), the classes of ``tc_frequent``; None leaves that empty.
    """
    rows = []
    for one in evaluations:
        iou, tc = one.iou.pooled(), one.tc.pooled()
        shares = {
            "miou": mean_ratio(iou.intersection, iou.union),
            "pixel_accuracy": pixel_agreement(iou),
            "tc": temporal_consistency(tc, "corrected"),
            "tc_frequent": np.nan if frequent is None else mean_ratio(tc.intersection[frequent], tc.union[frequent]),
            "tc_visible": temporal_consistency(one.tc_visible.pooled(), "occlusion_aware"),
            "agreement": pixel_agreement(tc),
            "tc_compare": temporal_consistency(one.tc_compare.pooled(), "corrected"),
        }
        row = {**one.run._asdict(), **{name: 100 * share for name, share in shares.items()}}
        rows.append({**row, "iterations": one.iterations, "parameters": one.made.parameters, "gmac": one.made.gmac})
    return pd.DataFrame(rows, columns=RUN_COLUMNS)


def scheme_table(
    evaluations: list[Evaluation], baseline: str, confidence: float, frequent: np.ndarray | None = None
) -> pd.DataFrame:
    """One row per architecture and scheme, in the order of the runs, with the columns ``SCHEME_COLUMNS``; not rounded.

    Means and standard deviations (ddof 1, NaN for one seed) are over the scheme's seeds. The delta columns are the mean
    difference to the baseline over the seeds that both have, their number, the ends of its interval and the standard
    deviation between chains; NaN for the baseline itself and for schemes that share no seed with it.

    Raises:
        UserError: two runs were evaluated on different clips.
    """
    runs = run_table(evaluations, frequent)
    rows = []
    for (architecture, scheme), group in runs.groupby(["architecture", "scheme"], sort=False):
        row = {"architecture": architecture, "scheme": scheme, "seeds": len(group)}
        row |= {f"{share}_mean": group[share].mean() for share in SHARES}
        row |= {f"{share}_std": group[share].std(ddof=1) for share in ("miou", "tc")}
        row |= {"iterations": group["iterations"].mean()}
        row |= {name: group[name].iloc[0] for name in COST}
        both = pairs(evaluations, architecture, baseline, scheme)
        if scheme != baseline and both:
            row |= deltas(both, confidence, frequent)
        rows.append(row)
    return pd.DataFrame(rows, columns=SCHEME_COLUMNS)


def data_table(frames: pd.DataFrame) -> pd.DataFrame:
    """What each split of a data set holds, so that others can check whether theirs is the same.

    Args:
        frames: a manifest.

    Returns:
        One row a split: split, clips, frames, labels, annotated (labels that training may use), megabytes of images,
        checksum (BLAKE2b over clip, frame and the checksums of image and label of every frame, 32 hex digits).
    """
    rows = []
    for split, held in frames.groupby("split"):
        lines = held[["clip", "frame", "checksum", "label_checksum"]].to_csv(index=False, header=False)
        row = {"split": split, "clips": held["clip"].nunique(), "frames": len(held)}
        row |= {"labels": (held["label"] != "").sum(), "annotated": held["annotated"].sum()}
        row |= {"megabytes": round(held["bytes"].sum() / 1e6, 1)}
        rows.append(row | {"checksum": hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()})
    return pd.DataFrame(rows)


def metrics(schemes: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Means over seeds for ``dvc metrics show``, by architecture and scheme: miou, tc, tc_visible, agreement in %.

    Without labels there is no miou.
    """
    tree: dict[str, dict[str, dict[str, float]]] = {}
    for row in schemes.itertuples():
        names = ("miou", "tc", "tc_visible", "agreement")
        means = {name: float(getattr(row, f"{name}_mean")) for name in names}
        values = {name: round(mean, 2) for name, mean in means.items() if not np.isnan(mean)}
        tree.setdefault(row.architecture, {})[row.scheme] = values
    return tree


def csv(table: pd.DataFrame) -> str:
    """A table as CSV: shares and differences with two decimals, whole numbers plain, NaN as an empty field."""
    written = table.copy()
    for name in written.columns:
        if name in FORMS:
            written[name] = ["" if np.isnan(value) else format(value, FORMS[name]) for value in written[name]]
        elif pd.api.types.is_float_dtype(written[name]):
            written[name] = [decimals(value) for value in written[name]]
    return written.to_csv(index=False, lineterminator="\n")


def display(schemes: pd.DataFrame) -> pd.DataFrame:
    """The scheme table as short texts for readers: mean ± std in one cell, difference and interval in one cell.

    A dagger marks an interval that holds for one chain, see :func:`note`. Columns without any value are left out.
    """
    missing = [np.nan] * len(schemes)  # in tables from before it existed
    table = pd.DataFrame(
        {
            "architecture": schemes["architecture"],
            "scheme": schemes["scheme"],
            "seeds": [str(value) for value in schemes["seeds"]],
            "mIoU": _spread(schemes["miou_mean"], schemes["miou_std"]),
            "pixel acc.": [decimals(value) for value in schemes["pixel_accuracy_mean"]],
            "TC": _spread(schemes["tc_mean"], schemes["tc_std"]),
            FREQUENT: [decimals(value) for value in schemes.get("tc_frequent_mean", missing)],
            "TC visible": [decimals(value) for value in schemes["tc_visible_mean"]],
            "agreement": [decimals(value) for value in schemes["agreement_mean"]],
            "TC 2nd flow": [decimals(value) for value in schemes["tc_compare_mean"]],
            "ΔTC": with_interval(schemes, "delta_tc"),
            f"Δ{FREQUENT}": with_interval(schemes, "delta_tc_frequent"),
            "Δagreement": with_interval(schemes, "delta_agreement"),
            "ΔmIoU": with_interval(schemes, "delta_miou"),
            "iterations": [f"{value:.10g}" for value in schemes["iterations"]],
        }
        | _cost(schemes)
    )
    return without_empty(table)


def display_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The run table as short texts for readers; columns without any value are left out."""
    shown = {name: [decimals(value) for value in runs[name]] for name in SHARES}
    shown |= {"iterations": [f"{value:.10g}" for value in runs["iterations"]]} | _cost(runs)
    names = {
        "miou": "mIoU",
        "pixel_accuracy": "pixel acc.",
        "tc": "TC",
        "tc_frequent": FREQUENT,
        "tc_visible": "TC visible",
        "tc_compare": "TC 2nd flow",
    }
    first = {name: [str(value) for value in runs[name]] for name in ("architecture", "scheme", "seed")}
    return without_empty(pd.DataFrame(first | shown).rename(columns=names))


def note(confidence: float, share: float, left_out: Sequence[str]) -> str:
    """What the columns of the scheme table are, in a few sentences.

    Args:
        confidence: of the intervals, 0..1.
        share: of a run's predictions that makes a class frequent, 0..1.
        left_out: names of the classes that are predicted, but not frequent in every run.
    """
    frequent = (
        f" '{FREQUENT}' is TC over the classes that make up at least {100 * share:g} % of the predictions of every run "
        f"in this table: all but {', '.join(left_out)}."
    )
    return (
        "Shares in percent, Δ in percentage points against the baseline. Means over seeds, ± one standard deviation "
        f"over seeds (ddof 1). A seed is a chain: everything that is trained for it, from its labeller on. In brackets "
        f"the {100 * confidence:g} % interval over chains and clips; only seeds that both schemes have enter Δ. "
        f"{ONE_CHAIN} With one clip it is over chains alone. "
        "Labeller and teacher are what the students of the architecture learn from, with parameters and GMAC "
        "(1e9 multiply-accumulates a frame) of their own. Iterations are means over seeds. TC is judged by the flow "
        "'evaluate' of params/flow.yaml, 'TC 2nd flow' by the flow 'compare'."
    ) + frequent * bool(left_out)


def processor_note(runs: Sequence[str]) -> str:
    """Which runs another processor may give other numbers for; empty when there is none."""
    if not runs:
        return ""
    return f"Computed without the portable settings, so that other processors give other bits: {', '.join(runs)}."


def markdown(table: pd.DataFrame, text: str) -> str:
    """A table of texts as Markdown under one paragraph of ``text``; numbers are right-aligned."""
    rule = ["---" if name in WORDS else "---:" for name in table.columns]
    lines = [list(table.columns), rule, *table.itertuples(index=False, name=None)]
    return f"{text}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(table: pd.DataFrame, text: str) -> str:
    """A table of texts as a LaTeX tabular for the package booktabs, ``text`` in a comment above."""
    escapes = {"_": r"\_", "%": r"\%", "±": r"$\pm$", "Δ": r"$\Delta$", "†": r"$\dagger$"}
    marks = str.maketrans(escapes)
    lines = [[str(value).translate(marks) for value in line] for line in table.itertuples(index=False, name=None)]
    head = " & ".join(str(name).translate(marks) for name in table.columns)
    body = "".join(f"{' & '.join(line)} \\\\\n" for line in lines)
    alignment = "ll" + "r" * (len(table.columns) - 2)
    return (
        f"% {text}\n\\begin{{tabular}}{{{alignment}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def terminal_table(schemes: pd.DataFrame, further: Mapping[str, Mapping[tuple[str, str], str]] | None = None) -> str:
    """The scheme table for a terminal, without colours and without a newline at the end.

    Args:
        schemes: columns ``SCHEME_COLUMNS``, as made by :func:`scheme_table` or read back from ``schemes.csv``.
        further: columns to add on the right: by their title a text by architecture and scheme, where it is known.
    """
    # The rest is left to the files: terminal lines are short.
    shown = display(schemes).drop(columns=["TC visible", "TC 2nd flow", "params, M", "GMAC"], errors="ignore")
    rows = [*zip(shown["architecture"], shown["scheme"], strict=True)]
    for title, known in (further or {}).items():
        shown[title] = [known.get(row, "") for row in rows]
    if shown["architecture"].nunique() == 1:
        shown = shown.drop(columns="architecture")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in shown.columns:
        table.add_column(name, justify="left" if name in ("architecture", "scheme") else "right", no_wrap=True)
    for row in shown.itertuples(index=False, name=None):
        table.add_row(*row)
    text = plain_text(table, width=400)
    notes = [ONE_CHAIN] * (MARK in text)
    notes += [f"'{FREQUENT}' leaves classes out: tables/schemes.md names them."] * (FREQUENT in shown)
    return "\n".join([text, *notes])


def plain_text(table: Table, width: int) -> str:
    """A table without colours, blanks at the ends of lines and empty lines around it, for a terminal or a log.

    Args:
        table: what to show.
        width: in characters, more than any table needs: a narrow terminal then wraps lines but hides nothing.
    """
    stream = StringIO()
    Console(file=stream, width=width, color_system=None, markup=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n")).strip("\n")


def decimals(value: float) -> str:
    """Two decimals; empty for NaN."""
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return "" if np.isnan(value) else f"{round(float(value), 2) + 0.0:.2f}"


def _cost(table: pd.DataFrame) -> dict[str, list[str]]:
    """Parameters and multiply-accumulates of the networks; empty in tables from before they had these columns."""
    if not {*COST} <= {*table.columns}:
        return {}
    millions = [f"{value / 1e6:.3g}" for value in table["parameters"]]
    return {"params, M": millions, "GMAC": [f"{value:.3g}" for value in table["gmac"]]}


def _spread(means: pd.Series, stds: pd.Series) -> list[str]:
    pairs = zip(means, stds, strict=True)
    return [decimals(mean) if np.isnan(std) else f"{decimals(mean)} ± {decimals(std)}" for mean, std in pairs]


def with_interval(table: pd.DataFrame, column: str, chains: str = "delta_chains") -> list[str]:
    """Differences with their intervals, marked where ``chains``, a column, says 1."""
    columns = [column, f"{column}_low", f"{column}_high", chains]
    return [_one_interval(*row) for row in table.reindex(columns=columns).itertuples(index=False, name=None)]


def _one_interval(value: float, low: float, high: float, chains: float) -> str:
    if np.isnan(value):
        return ""
    mark = MARK if chains == 1 else ""
    return signed(value) if np.isnan(low) else f"{signed(value)} [{signed(low)}, {signed(high)}]{mark}"


def without_empty(table: pd.DataFrame) -> pd.DataFrame:
    """A table of texts without the columns that have none."""
    return table.loc[:, table.ne("").any()]


def signed(value: float) -> str:
    """Two decimals with the sign."""
    return f"{round(float(value), 2) + 0.0:+.2f}"
