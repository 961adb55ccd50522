"""The report's plots: the schemes compared, loss curves, pseudo-label audit.

Every function takes a table and returns a figure; :func:`png` turns a figure into bytes. Equal tables give equal bytes:
matplotlib's own defaults and bundled font apply whatever the user's settings, and no time is written.
"""

import io
from collections.abc import Callable, Iterable
from functools import wraps

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from etc.reporting.clips import MEAN

# Okabe and Ito's colours, which colour-blind readers can tell apart. Grey replaces their yellow, unreadable on white;
# Paul Tol's wine and olive are added because the shipped experiment has ten schemes, and one more is welcome.
COLOURS = (
    *("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#808080", "#882255", "#999933"),
    "#332288",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
LINES = ("-", "--", "-.", ":")
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
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def png(figure: Figure, dpi: int, **metadata: str) -> bytes:
    """The figure as PNG bytes, with the given metadata and none that changes from run to run."""
    with style.context(["default", STYLE]), io.BytesIO() as stream:
        figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None, **metadata})
        return stream.getvalue()


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    @wraps(draw)
    def inside(*args, **kwargs) -> Figure:
        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return inside


@_styled
def scheme_scatter(runs: pd.DataFrame, baseline: str) -> Figure:
    """Quality against consistency: one mark per scheme at the mean over seeds, one small dot per seed.

    Without labels there is no quality: pixel agreement, the other measure of consistency, is drawn in place of mIoU.

    Args:
        runs: columns ``architecture, scheme, seed, miou, agreement, tc`` in percent, one row per run, in the order of
            the table.
        baseline: scheme through whose mean thin guide lines are drawn.

    Returns:
        a figure with one panel per architecture; error bars are one standard deviation over seeds (ddof 1).
    """
    labelled = runs["miou"].notna().any()
    upright = "miou" if labelled else "agreement"
    title = "mIoU (%)" if labelled else "pixel agreement (%); without labels, no mIoU"
    architectures = list(runs["architecture"].unique())
    looks = _looks(runs["scheme"].unique())
    figure = _figure(6.6 * len(architectures), 5.0)
    panels = figure.subplots(1, len(architectures), squeeze=False)[0]
    placements = []
    for axes, architecture in zip(panels, architectures, strict=True):
        panel_runs = runs[runs["architecture"] == architecture]
        labels, marks, bars = [], [], []
        for scheme, group in panel_runs.groupby("scheme", sort=False):
            colour, marker, _ = looks[scheme]
            x, y = float(group["tc"].mean()), float(group[upright].mean())
            if scheme == baseline:
                axes.axhline(y, color="#bbbbbb", linewidth=0.8, linestyle="--", zorder=1)
                axes.axvline(x, color="#bbbbbb", linewidth=0.8, linestyle="--", zorder=1)
            if len(group) > 1:
                dx, dy = float(group["tc"].std(ddof=1)), float(group[upright].std(ddof=1))
                bars += [((x - dx, y), (x + dx, y)), ((x, y - dy), (x, y + dy))]
                axes.errorbar(x, y, dy, dx, fmt="none", ecolor=colour, elinewidth=1.1, capsize=3, alpha=0.8, zorder=2)
                axes.plot(group["tc"], group[upright], ".", color=colour, markersize=4.5, alpha=0.55, zorder=3)
                marks += [*zip(group["tc"], group[upright], strict=True)]
            size = 11 if scheme == baseline else 8
            axes.plot(x, y, marker, color=colour, markersize=size, markeredgecolor="white", zorder=4)
            labels.append((str(scheme), colour, x, y))
            marks.append((x, y))
        axes.margins(0.16)
        axes.set(title=architecture, xlabel="TC: temporal consistency (%)", ylabel=title)
        placements.append((axes, labels, marks, bars))
    seed_dot = Line2D([], [], linestyle="none", marker=".", markersize=5, color="#555555", label="one seed")
    mean_mark = Line2D([], [], linestyle="none", marker="o", markersize=8, color="#555555", label="mean ± 1 std")
    figure.legend(handles=[mean_mark, seed_dot], loc="outside lower center", ncols=2)
    # Overlaps are judged in pixels, so the layout must be final before labels are placed.
    figure.draw_without_rendering()
    for axes, labels, marks, bars in placements:
        _place_labels(axes, labels, marks, bars)
    return figure


def _place_labels(
    axes: Axes,
    labels: list[tuple[str, str, float, float]],
    marks: list[tuple[float, float]],
    bars: list[tuple[tuple[float, float], tuple[float, float]]],
) -> None:
    """Write each label beside its point, where it covers as little as possible.

    Args:
        axes: where the points are drawn.
        labels: text, colour, x and y in data coordinates.
        marks: points in data coordinates that labels should not cover.
        bars: lines, as pairs of ends in data coordinates, that labels should not cover.
    """
    renderer = axes.figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    point = axes.figure.dpi / 72
    pixels = axes.transData.transform(marks)
    taken = [Bbox.from_bounds(x - 6 * point, y - 6 * point, 12 * point, 12 * point) for x, y in pixels]
    for ends in bars:
        (x0, y0), (x1, y1) = axes.transData.transform(ends)
        taken.append(Bbox.from_extents(x0, y0, x1, y1).padded(2 * point))
    candidates = [(radius, angle) for radius in (9, 16, 26, 38, 52) for angle in range(0, 360, 30)]
    for text, colour, x, y in labels:
        sizer = axes.text(x, y, text, fontsize=10)
        size = sizer.get_window_extent(renderer)
        sizer.remove()
        centre = axes.transData.transform((x, y))
        best = None
        for radius, angle in candidates:
            dx, dy = round(radius * np.cos(np.radians(angle)), 3), round(radius * np.sin(np.radians(angle)), 3)
            # The side of the text that faces the mark keeps the distance.
            left = centre[0] + dx * point - size.width * (0.5 - 0.5 * np.sign(dx))
            bottom = centre[1] + dy * point - size.height * (0.5 - 0.5 * np.sign(dy))
            area = Bbox.from_bounds(left, bottom, size.width, size.height)
            outside = size.width * size.height - _overlap(area, frame)
            cost = 10 * outside + sum(_overlap(area.padded(point), other) for other in taken) + 0.02 * radius
            if best is None or cost < best[0]:
                best = (cost, dx, dy, radius, area)
        _, dx, dy, radius, area = best
        axes.annotate(
            text,
            (x, y),
            xytext=(dx, dy),
            textcoords="offset points",
            ha={1: "left", 0: "center", -1: "right"}[np.sign(dx)],
            va={1: "bottom", 0: "center", -1: "top"}[np.sign(dy)],
            color=[0.7 * part for part in to_rgb(colour)],
            fontsize=10,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6} if radius > 20 else None,
            zorder=5,
        )
        taken.append(area.padded(2))


def _overlap(one: Bbox, other: Bbox) -> float:
    shared = Bbox.intersection(one, other)
    return shared.width * shared.height if shared is not None else 0.0


@_styled
def clip_dots(clips: pd.DataFrame, schemes: list[str]) -> Figure:
    """Differences to the baseline in each clip, one row of panels per architecture.

    Args:
        clips: as :func:`etc.reporting.clips.table` gives it.
        schemes: of all plots, in the order of their colours.

    Returns:
        a figure with ΔTC, and below it ΔmIoU where there are labels; large marks are means over chains, dots chains.
    """
    measures = {"delta_tc": "ΔTC", "delta_miou": "ΔmIoU"}
    measures = {name: title for name, title in measures.items() if name == "delta_tc" or clips[name].notna().any()}
    architectures = list(clips["architecture"].unique()) or [""]
    looks = {scheme: look for scheme, look in _looks(schemes).items() if scheme in set(clips["scheme"])}
    names = list(clips["clip"].unique())
    # Beyond these the names of clips would cover each other: they stand in the table.
    named = len(names) <= 24
    figure = _figure(min(max(6.6, 0.55 * len(names) + 1.6), 14.0), 2.5 * len(measures) * len(architectures) + 0.9)
    panels = figure.subplots(len(measures) * len(architectures), 1, sharex=True, squeeze=False)[:, 0]
    rows = [(one, name) for one in architectures for name in measures]
    for axes, (architecture, name) in zip(panels, rows, strict=True):
        axes.axhline(0, color="#555555", linewidth=0.9, zorder=1)
        for number, (scheme, (colour, marker, _)) in enumerate(looks.items()):
            shift = 0.7 * ((number + 0.5) / len(looks) - 0.5)
            held = clips[(clips["architecture"] == architecture) & (clips["scheme"] == scheme)]
            mean = held["seed"] == MEAN
            for part, mark, size, alpha in ((~mean, ".", 4.5, 0.55), (mean, marker, 7, 1.0)):
                places = [names.index(one) + shift for one in held.loc[part, "clip"]]
                axes.plot(places, held.loc[part, name], mark, color=colour, markersize=size, alpha=alpha, zorder=3)
        title = f"{architecture}: " if len(architectures) > 1 else ""
        axes.set(title=f"{title}{measures[name]} (percentage points)", xlim=(-0.6, len(names) - 0.4))
        axes.grid(axis="x", visible=False)
        axes.set_xticks(range(len(names)) if named else [], names if named else [], rotation=40, ha="right", fontsize=8)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=colour, markersize=7, label=scheme)
        for scheme, (colour, marker, _) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)))
    return figure


@_styled
def class_dots(classes: pd.DataFrame, baseline: str, scheme: str) -> Figure:
    """TC, and IoU where there are labels, of each class, baseline and scheme joined by a line, by gain of TC.

    Args:
        classes: as :func:`etc.reporting.classes.table` gives it.
        baseline: the scheme that the other is compared with.
        scheme: the other.

    Returns:
        a figure with one row of panels per architecture; the numbers are the differences in percentage points.
    """
    measures = {"tc": "TC (%)", "iou": "IoU (%)"}
    measures = {name: title for name, title in measures.items() if name == "tc" or classes[name].notna().any()}
    both = classes[classes["scheme"].isin([baseline, scheme])]
    architectures = list(both["architecture"].unique())
    names = classes["class"].nunique()
    figure = _figure(4.6 * len(measures) + 0.8, (0.3 * names + 0.7) * len(architectures) + 0.5)
    panels = figure.subplots(len(architectures), len(measures), sharey="row", squeeze=False)
    looks = {baseline: ("#555555", "o"), scheme: ("#0072B2", "D")}
    for architecture, row in zip(architectures, panels, strict=True):
        held = both[both["architecture"] == architecture]
        old, new = (held[held["scheme"] == one].set_index("class") for one in (baseline, scheme))
        # NaN, a class that is never predicted, goes to the bottom.
        order = new["delta_tc"].sort_values(ascending=True, na_position="first").index
        places = np.arange(len(order))
        for axes, (name, title) in zip(row, measures.items(), strict=True):
            before, after = old.loc[order, name].to_numpy(), new.loc[order, name].to_numpy()
            gains = new.loc[order, f"delta_{name}"].to_numpy()
            axes.hlines(places, before, after, color="#bbbbbb", linewidth=2, zorder=1)
            for values, one in ((before, baseline), (after, scheme)):
                colour, marker = looks[one]
                axes.plot(values, places, marker, color=colour, markersize=6, zorder=3)
            for place, gain, x in zip(places, gains, np.fmax(before, after), strict=True):
                if not np.isnan(gain):
                    axes.annotate(
                        f"{gain:+.1f}", (x, place), (7, 0), textcoords="offset points", va="center", fontsize=8
                    )
            axes.margins(x=0.12)
            axes.set(title=f"{architecture}: {title}" if len(architectures) > 1 else title, yticks=places)
            axes.set_yticks(places, order)
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=colour, markersize=7, label=one)
        for one, (colour, marker) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@_styled
def difference_crosses(schemes: pd.DataFrame) -> Figure:
    """Differences to the baseline with their intervals: ΔTC to the right, ΔmIoU (or nothing, without labels) upwards.

    Args:
        schemes: as :func:`etc.reporting.tables.scheme_table` gives it, in the order of the plots' colours.

    Returns:
        a figure with one panel per architecture. Hollow marks are of one chain, whose interval is over clips alone.
    """
    labelled = bool(schemes["delta_miou"].notna().any())
    architectures = list(schemes["architecture"].unique())
    looks = _looks(schemes["scheme"].unique())
    figure = _figure(6.6 * len(architectures), 5.0 if labelled else 3.6)
    panels = figure.subplots(1, len(architectures), squeeze=False)[0]
    placements = []
    for axes, architecture in zip(panels, architectures, strict=True):
        rows = schemes[(schemes["architecture"] == architecture) & schemes["delta_tc"].notna()]
        axes.axvline(0, color="#555555", linewidth=0.9, zorder=1)
        labels, marks, bars = [], [(0.0, 0.0)], []
        if labelled:
            axes.axhline(0, color="#555555", linewidth=0.9, zorder=1)
        for place, row in enumerate(rows.itertuples()):
            colour, marker, _ = looks[row.scheme]
            x, y = row.delta_tc, row.delta_miou if labelled else -float(place)
            face = "white" if row.delta_chains == 1 else colour
            ends = [((row.delta_tc_low, y), (row.delta_tc_high, y))]
            ends += [((x, row.delta_miou_low), (x, row.delta_miou_high))] * labelled
            for (x0, y0), (x1, y1) in ends:
                axes.plot([x0, x1], [y0, y1], color=colour, linewidth=1.1, alpha=0.7, zorder=2)
            axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=8, zorder=4)
            labels.append((row.scheme, colour, x, y))
            marks.append((x, y))
            bars += [one for one in ends if not np.isnan(one).any()]
        axes.margins(0.1)
        axes.set(title=architecture, xlabel="ΔTC (percentage points)")
        if labelled:
            axes.set(ylabel="ΔmIoU (percentage points)")
        else:
            axes.set_yticks([])
        placements.append((axes, labels, marks, bars))
    figure.draw_without_rendering()
    for axes, labels, marks, bars in placements:
        _place_labels(axes, labels, marks, bars)
    return figure


@_styled
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
    looks = _looks(history["scheme"].unique())
    columns = min(3, len(terms))
    rows = -(-len(terms) // columns)
    figure = _figure(3.7 * columns, 2.7 * rows * len(architectures) + 0.6)
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


@_styled
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
        figure = _figure(6.6, 1.0)
        figure.text(0.5, 0.5, "not judged on dev during training; set judge_every", ha="center", va="center")
        return figure
    judged = history[history[measures].notna().any(axis=1)]
    architectures, looks = list(judged["architecture"].unique()), _looks(history["scheme"].unique())
    figure = _figure(5.2 * len(measures), 3.6 * len(architectures) + 0.6)
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


@_styled
def pseudo_label_bars(audit: pd.DataFrame) -> Figure:
    """Share of pixels kept, and accuracy before and after the confidence filter, per class.

    Args:
        audit: columns ``class`` (name), ``kept_share``, ``accuracy_before`` and ``accuracy_kept`` in 0..1, one row per
            class and one named ``all``; an accuracy is NaN where there is no truth. Where there is none at all, only
            the shares are drawn.
    """
    rows = np.arange(len(audit))
    before, after = (100 * audit[name].to_numpy(dtype=float) for name in ("accuracy_before", "accuracy_kept"))
    judged = not np.isnan(before).all()
    figure = _figure(6.6, 0.34 * len(audit) + 1.6)
    panels = figure.subplots(1, 1 + judged, sharey=True, squeeze=False)[0]
    kept = panels[0]
    shares = 100 * audit["kept_share"].to_numpy(dtype=float)
    bars = kept.barh(rows, np.nan_to_num(shares), height=0.62, color="#0072B2")
    kept.bar_label(bars, ["" if np.isnan(share) else f"{share:.0f}" for share in shares], padding=3, fontsize=8)
    kept.set(
        title="kept share of predicted pixels", xlabel="%", yticks=rows, yticklabels=list(audit["class"]), xlim=(0, 112)
    )
    if judged:
        accuracy = panels[1]
        accuracy.hlines(rows, before, after, color="#bbbbbb", linewidth=2, zorder=1)
        accuracy.plot(before, rows, "o", color="#E69F00", markersize=6, label="all predicted pixels")
        accuracy.plot(after, rows, "D", color="#0072B2", markersize=6, label="kept pixels")
        accuracy.set(title="accuracy", xlabel="%")
        figure.legend(loc="outside lower center", ncols=2)
    for axes in panels:
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    kept.invert_yaxis()
    return figure


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _looks(schemes: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line of each scheme, by its place."""
    return {
        scheme: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], LINES[i // len(COLOURS) % len(LINES)])
        for i, scheme in enumerate(schemes)
    }
