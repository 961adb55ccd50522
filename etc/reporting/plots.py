"""Figures of the results: the schemes compared, by clip and by class, and the audit of the pseudo-labels."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from etc.reporting.clips import MEAN
from etc.reporting.drawing import looks_of, new_figure, styled


@styled
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
    looks = looks_of(runs["scheme"].unique())
    figure = new_figure(6.6 * len(architectures), 5.0)
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


@styled
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
    looks = {scheme: look for scheme, look in looks_of(schemes).items() if scheme in set(clips["scheme"])}
    names = list(clips["clip"].unique())
    # Beyond these the names of clips would cover each other: they stand in the table.
    named = len(names) <= 24
    figure = new_figure(min(max(6.6, 0.55 * len(names) + 1.6), 14.0), 2.5 * len(measures) * len(architectures) + 0.9)
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


@styled
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
    figure = new_figure(4.6 * len(measures) + 0.8, (0.3 * names + 0.7) * len(architectures) + 0.5)
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


@styled
def difference_crosses(schemes: pd.DataFrame) -> Figure:
    """Differences to the baseline with their intervals: ΔTC to the right, ΔmIoU (or nothing, without labels) upwards.

    Args:
        schemes: as :func:`etc.reporting.tables.scheme_table` gives it, in the order of the plots' colours.

    Returns:
        a figure with one panel per architecture. Hollow marks are of one chain, whose interval is over clips alone.
    """
    labelled = bool(schemes["delta_miou"].notna().any())
    architectures = list(schemes["architecture"].unique())
    looks = looks_of(schemes["scheme"].unique())
    figure = new_figure(6.6 * len(architectures), 5.0 if labelled else 3.6)
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


@styled
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
    figure = new_figure(6.6, 0.34 * len(audit) + 1.6)
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
