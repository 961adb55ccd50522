"""Plots: what they show, that labels keep apart, and that bytes repeat."""

import io
from typing import get_args

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.text import Annotation
from PIL import Image

from etc.params.training import TermName
from etc.reporting import curves, drawing, plots


def runs_table(points, architecture="pspnet18"):
    """Rows (scheme, seed, miou, tc)."""
    table = pd.DataFrame(points, columns=["scheme", "seed", "miou", "tc"])
    return table.assign(architecture=architecture)


CROWDED = runs_table(
    [("baseline", seed, 60 + 0.2 * seed, 70 + 0.3 * seed) for seed in range(3)]
    + [(f"scheme_{i}", 0, 60.1 + 0.05 * i, 70.2 + 0.05 * i) for i in range(7)]
    + [("etc", seed, 63 - 0.2 * seed, 74 + 0.3 * seed) for seed in range(3)]
)


def test_every_term_has_a_title():
    assert tuple(curves.TERMS) == ("total", "ce", *get_args(TermName))


def history(scheme, seed, **terms):
    steps = np.arange(1, 101)
    values = {term: np.zeros(100) for term in curves.TERMS} | {"ce": 1 / steps, "total": 1 / steps} | terms
    return pd.DataFrame({"architecture": "pspnet18", "scheme": scheme, "seed": seed, "step": steps, **values})


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


def test_scatter_labels_do_not_overlap_and_stay_inside():
    figure = plots.scheme_scatter(CROWDED, "baseline")
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    notes = [child for child in axes.get_children() if isinstance(child, Annotation)]
    assert sorted(note.get_text() for note in notes) == sorted(CROWDED["scheme"].unique())
    figure.draw_without_rendering()
    boxes = [matplotlib.text.Text.get_window_extent(note, renderer) for note in notes]
    frame = axes.get_window_extent(renderer)
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        for other in boxes[i + 1 :]:
            assert not box.overlaps(other)


def test_scatter_marks_the_mean_and_one_standard_deviation():
    table = runs_table([("baseline", 0, 60.0, 70.0), ("baseline", 1, 62.0, 76.0), ("etc", 0, 65.0, 75.0)])
    axes = plots.scheme_scatter(table, "baseline").axes[0]
    lines = [(list(np.ravel(line.get_xdata())), list(np.ravel(line.get_ydata()))) for line in axes.lines]
    assert ([73.0], [61.0]) in lines and ([75.0], [65.0]) in lines, "means"
    assert ([70.0, 76.0], [60.0, 62.0]) in lines, "single seeds"
    bars = axes.containers[0].lines[2]
    assert len(axes.containers) == 1, "one seed has no error bar"
    (horizontal,), (vertical,) = (bar.get_segments() for bar in bars)
    assert horizontal[:, 0] == pytest.approx([73 - np.sqrt(18), 73 + np.sqrt(18)])
    assert vertical[:, 1] == pytest.approx([61 - np.sqrt(2), 61 + np.sqrt(2)])


def test_without_labels_the_axis_says_what_it_shows():
    table = CROWDED.assign(agreement=CROWDED["miou"] + 1)
    labelled, bare = (plots.scheme_scatter(one, "baseline").axes[0] for one in (table, table.assign(miou=np.nan)))
    assert labelled.get_ylabel() == "mIoU (%)" and bare.get_ylabel() == "pixel agreement (%); without labels, no mIoU"
    assert [max(line.get_ydata()) for line in bare.lines][-1] > [max(line.get_ydata()) for line in labelled.lines][-1]


def test_each_architecture_has_its_panel():
    both = pd.concat([CROWDED, CROWDED.assign(architecture="other")])
    assert titles(plots.scheme_scatter(both, "baseline")) == ["pspnet18", "other"]


def test_schemes_differ_in_colour_and_marker():
    looks = list(drawing.looks_of(CROWDED["scheme"].unique()).values())
    assert len({colour for colour, _, _ in looks[:8]}) == len({marker for _, marker, _ in looks[:8]}) == 8
    assert len(set(looks)) == len(looks)


def test_loss_terms_that_nobody_uses_have_no_panel():
    table = pd.concat([history("baseline", 0), history("tl", 0, tl=np.ones(100), pf=np.full(100, np.nan))])
    figure = curves.loss_curves(table, 10)
    assert titles(figure) == [curves.TERMS[term] for term in ("total", "ce", "tl")]
    assert len(panel(figure, "CE").lines) == 2
    assert len(panel(figure, "TL").lines) == 1, "the baseline has no TL"


def test_loss_curve_averages_blocks_and_seeds():
    steps = np.arange(1, 101)
    table = pd.concat([history("tl", 0, ce=steps * 1.0), history("tl", 1, ce=steps * 3.0)])
    axes = panel(curves.loss_curves(table, 50), "CE")
    assert axes.lines[0].get_xdata() == pytest.approx([25.5, 75.5])
    assert axes.lines[0].get_ydata() == pytest.approx([51.0, 151.0])
    bands = [child for child in axes.collections if isinstance(child, PolyCollection)]
    heights = bands[0].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(25.5) and heights.max() == pytest.approx(226.5)


def test_a_term_below_zero_is_drawn_on_a_linear_axis():
    table = history("etc", 0, mf=np.linspace(1, -1, 100))
    figure = curves.loss_curves(table, 1)
    assert panel(figure, "MF").get_yscale() == "linear" and panel(figure, "CE").get_yscale() == "log"


def judged(scheme, seed, *values, tc=np.nan):
    """A history that was judged at the given iterations with the given mIoU, beside a row that was not."""
    rows = [(10 * place, value, tc) for place, value in enumerate((*values, np.nan), 1)]
    table = pd.DataFrame(rows, columns=["iterations", "dev_miou", "dev_tc"])
    return table.assign(architecture="pspnet18", scheme=scheme, seed=seed)


def test_learning_curves_are_means_and_single_seeds():
    table = pd.concat([judged("baseline", 0, 40, 50, 60), judged("baseline", 1, 44, 54), judged("etc", 0, 45, 55, 65)])
    figure = curves.learning_curves(table, "iterations")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "mIoU on dev (%)", "no TC was measured"
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert lines[0] == ([10, 20, 30], [40, 50, 60]) and lines[1] == ([10, 20], [44, 54])
    assert lines[2] == ([10, 20], [42, 52]) and lines[3] == ([10, 20, 30], [45, 55, 65])
    both = curves.learning_curves(pd.concat([table, judged("tl", 0, 1, tc=70.0)]), "iterations")
    assert [one.get_ylabel() for one in both.axes] == ["mIoU on dev (%)", "TC on dev (%)"]


def test_without_a_judgement_the_figure_says_so():
    figure = curves.learning_curves(judged("baseline", 0), "iterations")
    assert not figure.axes
    assert [text.get_text() for text in figure.texts] == ["not judged on dev during training; set judge_every"]


def audit(accuracy):
    return pd.DataFrame(
        {
            "class": ["road", "car", "all"],
            "kept_share": [0.8, np.nan, 0.7],
            "accuracy_before": accuracy,
            "accuracy_kept": accuracy,
        }
    )


def test_audit_shows_every_class_and_survives_missing_values():
    for accuracy in ([0.9, 0.5, 0.8], [np.nan] * 3):
        panels = plots.pseudo_label_bars(audit(accuracy)).axes
        assert [one.get_title() for one in panels][1:] == ["accuracy"] * (not np.isnan(accuracy).all())
        axes = panels[0]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["road", "car", "all"]
        assert [patch.get_width() for patch in axes.patches] == pytest.approx([80, 0, 70])


def differences(chains=2.0, miou=1.0):
    """Two schemes beside the baseline; the second has ``chains``."""
    rows = {"scheme": ["baseline", "tl", "etc"], "delta_chains": [np.nan, 3.0, chains]}
    for name, values in (("tc", [np.nan, 1.0, 2.0]), ("miou", [np.nan, -0.5 * miou, miou])):
        rows[f"delta_{name}"] = values
        rows[f"delta_{name}_low"], rows[f"delta_{name}_high"] = ([one + end for one in values] for end in (-0.4, 0.4))
    return pd.DataFrame(rows).assign(architecture="pspnet18")


def test_differences_have_their_intervals_and_one_chain_is_hollow():
    axes = plots.difference_crosses(differences(chains=1.0)).axes[0]
    marks = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    assert [(*one.get_xdata(), *one.get_ydata()) for one in marks] == [(1.0, -0.5), (2.0, 1.0)]
    assert [one.get_markerfacecolor() == "white" for one in marks] == [False, True]
    bars = [line.get_xydata().ravel().tolist() for line in axes.lines if len(line.get_xydata()) == 2][-4:]
    assert [pytest.approx(one) for one in bars] == [
        [0.6, -0.5, 1.4, -0.5], [1.0, -0.9, 1.0, -0.1], [1.6, 1.0, 2.4, 1.0], [2.0, 0.6, 2.0, 1.4]
    ]  # fmt: skip
    assert {text.get_text() for text in axes.texts} == {"tl", "etc"}
    bare = plots.difference_crosses(differences(miou=np.nan)).axes[0]
    assert bare.get_ylabel() == "" and not bare.get_yticks().size


def class_table(iou=50.0):
    rows = [("baseline", "road", iou, 90.0, np.nan), ("baseline", "car", iou, 60.0, np.nan),
            ("baseline", "ship", iou, np.nan, np.nan), ("etc", "road", iou, 91.0, 1.0),
            ("etc", "car", iou, 70.0, 10.0), ("etc", "ship", iou, np.nan, np.nan)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["scheme", "class", "iou", "tc", "delta_tc"])
    return table.assign(architecture="pspnet18", delta_iou=0.0 * iou)


def test_classes_are_sorted_by_what_tc_gains():
    panels = plots.class_dots(class_table(), "baseline", "etc").axes
    assert [one.get_title() for one in panels] == ["TC (%)", "IoU (%)"]
    # Drawn from the bottom; a class that is never predicted lies there.
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["ship", "road", "car"]
    assert [text.get_text() for text in panels[0].texts] == ["+1.0", "+10.0"]
    assert [one.get_title() for one in plots.class_dots(class_table(np.nan), "baseline", "etc").axes] == ["TC (%)"]


FIGURES = {
    "scatter": lambda: plots.scheme_scatter(CROWDED, "baseline"),
    "differences": lambda: plots.difference_crosses(differences()),
    "classes": lambda: plots.class_dots(class_table(), "baseline", "etc"),
    "losses": lambda: curves.loss_curves(pd.concat([history("tl", 0), history("etc", 0)]), 10),
    "learning": lambda: curves.learning_curves(judged("etc", 0, 40, 50, tc=70.0), "iterations"),
    "audit": lambda: plots.pseudo_label_bars(audit([0.9, 0.5, 0.8])),
}


@pytest.mark.parametrize("name", FIGURES)
def test_bytes_repeat_whatever_the_users_settings(name):
    plain = drawing.png(FIGURES[name](), 60)
    with matplotlib.rc_context(
        {"lines.linewidth": 9, "font.size": 22, "axes.facecolor": "red", "savefig.bbox": "tight"}
    ):
        other = drawing.png(FIGURES[name](), 60)
    assert plain == other
    picture = Image.open(io.BytesIO(plain))
    assert "Software" not in picture.info and len(plain) < 500_000
