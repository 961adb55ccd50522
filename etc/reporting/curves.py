"""Figures of what was recorded while networks were trained: losses, and mIoU and TC on the split dev."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from etc.reporting.drawing import looks_of, new_figure, styled

TERMS = {
    "total": "total",
    "ce": "CE: cross-entropy",
    "tl": "TL: motion-guided temporal loss",
    "sf": "SF: single-frame distillation",
    "pf": "PF: pair-of-frames distillation",
    "mf": "MF: multi-frame distillation",
}
# Columns of a history that was judged on the split dev.
JUDGED = {"dev_miou": "mIoU on dev (%)", "dev_tc": "TC on dev (%)"}


@styled
def loss_curves(history: pd.DataFrame, smoothing: int) -> Figure:
    """Loss curves, one small panel per term: the line is the mean over seeds, the band their range.

    Args:
        history: columns ``architecture, scheme, seed, step`` and the loss terms ``total, ce, tl, sf, pf, mf``; a term
            that a scheme does not use is 0 or NaN throughout.
        smoothing: recorded steps that one point averages.

    Returns:
        a figure with one block of panels per architecture; terms that no scheme uses are left out.
    """
    terms = [term for term in TERMS if (history[term].fillna(0) != 0).any()]
    architectures = list(history["architecture"].unique())
    looks = looks_of(history["scheme"].unique())
    columns = min(3, len(terms))
    rows = -(-len(terms) // columns)
    figure = new_figure(3.7 * columns, 2.7 * rows * len(architectures) + 0.6)
    blocks = figure.subfigures(len(architectures), 1, squeeze=False)[:, 0]
    for architecture, block in zip(architectures, blocks, strict=True):
        if len(architectures) > 1:
            block.suptitle(architecture, fontsize=11)
        panels = block.subplots(rows, columns, squeeze=False).ravel()
        block_history = history[history["architecture"] == architecture]
        for axes, term in zip(panels, terms, strict=False):
            _loss_panel(axes, block_history, term, smoothing, looks)
        for axes in panels[len(terms) :]:
            axes.axis("off")
    handles = [
        Line2D([], [], color=colour, linestyle=line, linewidth=2, label=scheme)
        for scheme, (colour, _, line) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)))
    return figure


def _loss_panel(axes: Axes, history: pd.DataFrame, term: str, smoothing: int, looks: dict[str, tuple]) -> None:
    positive = True
    for scheme, runs in history.groupby("scheme", sort=False):
        if not (runs[term].fillna(0) != 0).any():
            continue
        colour, _, line = looks[scheme]
        curves = pd.concat([_block_means(run, term, smoothing) for _, run in runs.groupby("seed")], axis=1)
        mean = curves.mean(axis=1)
        axes.plot(mean.index, mean, color=colour, linestyle=line, linewidth=1.4)
        if curves.shape[1] > 1:
            axes.fill_between(mean.index, curves.min(axis=1), curves.max(axis=1), color=colour, alpha=0.15, linewidth=0)
        positive = positive and bool((curves.min(axis=1) > 0).all())
    axes.set(title=TERMS[term], xlabel="iteration")
    if positive:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        # Below a decade, ticks at 1, 2 and 5 are too few.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 8 * low else MaxNLocator(5))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _block_means(run: pd.DataFrame, term: str, smoothing: int) -> pd.Series:
    """Means of ``smoothing`` recorded steps each, at the block's mean step."""
    run = run.sort_values("step")
    blocks = np.arange(len(run)) // smoothing
    means = run[["step", term]].groupby(blocks).mean()
    return pd.Series(means[term].to_numpy(), index=means["step"].to_numpy())


@styled
def learning_curves(history: pd.DataFrame, x: str) -> Figure:
    """mIoU and TC on the split dev while students learn: thick lines are means over seeds, thin ones single seeds.

    Args:
        history: columns ``architecture, scheme, seed, dev_miou, dev_tc`` (percent, NaN where not judged) and ``x``, the
            rows of a run in order.
        x: column and name of the horizontal axis.

    Returns:
        a figure with one row of panels per architecture; one sentence where nothing was judged. The mean is over the
        n-th judgements of all seeds, as far as every seed has one.
    """
    measures = [name for name in JUDGED if history[name].notna().any()]
    if not measures:
        figure = new_figure(6.6, 1.0)
        figure.text(0.5, 0.5, "not judged on dev during training; set judge_every", ha="center", va="center")
        return figure
    judged = history[history[measures].notna().any(axis=1)]
    architectures, looks = list(judged["architecture"].unique()), looks_of(history["scheme"].unique())
    figure = new_figure(5.2 * len(measures), 3.6 * len(architectures) + 0.6)
    panels = figure.subplots(len(architectures), len(measures), squeeze=False)
    for architecture, row in zip(architectures, panels, strict=True):
        runs = judged[judged["architecture"] == architecture]
        for axes, measure in zip(row, measures, strict=True):
            for scheme, group in runs.groupby("scheme", sort=False):
                colour, _, line = looks[scheme]
                seeds = [run[[x, measure]].reset_index(drop=True) for _, run in group.groupby("seed")]
                for one in seeds if len(seeds) > 1 else ():
                    axes.plot(one[x], one[measure], color=colour, linestyle=line, linewidth=0.5, alpha=0.5)
                mean = sum(one.iloc[: min(map(len, seeds))] for one in seeds) / len(seeds)
                axes.plot(mean[x], mean[measure], color=colour, linestyle=line, linewidth=1.6)
            axes.set(title=architecture if len(architectures) > 1 else "", xlabel=x, ylabel=JUDGED[measure])
    shown = [scheme for scheme in looks if scheme in set(judged["scheme"])]
    handles = [Line2D([], [], color=looks[one][0], linestyle=looks[one][2], linewidth=2, label=one) for one in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)))
    return figure
