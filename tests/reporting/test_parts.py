"""The tables that take a difference apart: by term, by class, by clip."""

import numpy as np
import pytest

from etc.dataset.label_sets import STREET
from etc.params import student
from etc.reporting import classes, clips, drawing, plots, terms
from etc.reporting.terms import Comparison
from tests.reporting.test_tables import CONFIDENCE, evaluation, two_clips
from tests.reporting.world import ROOT

SHIPPED = {"baseline": 3, "tl": 3, "etc": 3, "baseline_long": 1, "pseudo": 1} | dict.fromkeys(
    ("sf", "sf_mf", "sf_pf_mf", "sf_tl"), 1
)


def compared(runs, schemes, factors=None, shares=None):
    distilled = [name for name, weights in schemes.items() if student.needs_teacher(weights)]
    return terms.comparisons(runs, schemes, factors or {}, dict.fromkeys(runs, 0.0) | (shares or {}), distilled)


def test_schemes_with_other_labels_do_not_show_what_a_term_is_worth():
    runs, schemes = {"baseline": 1, "pseudo": 1, "tl": 1}, {"baseline": {}, "pseudo": {}, "tl": {"tl": 2.0}}
    assert compared(runs, schemes, shares={"pseudo": 0.5}) == [("tl", "baseline", "tl")]
    assert compared(runs, schemes)[1:] == [("tl", "pseudo", "tl")]


def test_the_shipped_ablation_is_taken_apart():
    params = student.load("street", ROOT / "params" / "student.yaml")
    found = compared(SHIPPED, params.schemes, params.iterations_factor, params.pseudo_shares)
    assert {(one.scheme, one.against, one.term) for one in found} == {
        *[("tl", "baseline", "tl"), ("sf", "baseline", "sf"), ("sf_mf", "sf", "mf")],
        *[("sf_pf_mf", "sf_mf", "pf"), ("sf_tl", "sf", "tl"), ("sf_tl", "tl", "sf")],
        *[("etc", "sf_pf_mf", "tl"), ("etc", "baseline", ""), ("etc", "tl", ""), ("etc", "baseline_long", "")],
        ("etc", "pseudo", ""),
    }
    assert len(found) == 11


@pytest.mark.parametrize(
    ("more", "fewer", "factors"),
    [
        ({"sf": 1.0, "tl": 3.0}, {"sf": 2.0}, {}),
        ({"sf": 1.0, "tl": 3.0}, {"sf": 1.0}, {"more": 2.0}),
        ({"sf": 1.0, "tl": 3.0, "mf": 1.0}, {"sf": 1.0}, {}),
        ({"sf": 1.0}, {"sf": 1.0}, {}),
        ({"sf": 1.0, "tl": 3.0}, {"mf": 1.0}, {}),
    ],
    ids=["other weight", "trains longer", "two terms", "same", "another term"],
)
def test_schemes_that_differ_in_more_than_one_term_are_not_compared(more, fewer, factors):
    assert compared({"more": 1, "fewer": 1}, {"more": more, "fewer": fewer}, factors) == []


def test_a_distilled_scheme_of_fewer_chains_has_no_rows_against_other_methods():
    schemes = {"baseline": {}, "tl": {"tl": 1.0}, "sf": {"sf": 1.0}}
    assert Comparison("sf", "tl", "") not in compared({"baseline": 3, "tl": 3, "sf": 1}, schemes)
    assert Comparison("sf", "tl", "") in compared({"baseline": 3, "tl": 3, "sf": 3}, schemes)


def test_rows_of_terms_are_over_the_chains_that_both_have():
    runs = [two_clips("sf", seed, 50, 60) for seed in (0, 1, 2)]
    runs += [two_clips("sf_tl", 1, 53, 63), two_clips("sf_tl", 2, 55, 65)]
    found = terms.table(runs, [Comparison("sf_tl", "sf", "tl"), Comparison("etc", "sf", "")], CONFIDENCE)
    assert found[["scheme", "against", "term", "chains"]].to_numpy().tolist() == [["sf_tl", "sf", "tl", 2]]
    assert found["delta_tc"].item() == pytest.approx(4.0) and found["delta_tc_spread"].item() == pytest.approx(2**0.5)
    assert terms.display(found)["term"].tolist() == ["TL"]
    one = terms.display(terms.table(runs[2:4] + runs[1:2], [Comparison("sf_tl", "sf", "tl")], CONFIDENCE))
    assert one["ΔTC"].item().endswith("]†") and "One chain" in terms.note(CONFIDENCE)


def test_classes_have_values_and_differences_over_shared_chains():
    runs = [evaluation("baseline", seed, {"a": ([50, 20], [60, 70])}) for seed in (0, 1)]
    runs += [evaluation("etc", 0, {"a": ([54, 19], [61, 70])}), evaluation("etc", 5, {"a": ([60, 30], [63, 70])})]
    found = classes.table(runs, "baseline", STREET).set_index(["scheme", "class"])
    assert found.loc[("etc", "road"), ["iou", "delta_iou", "tc", "delta_tc"]].tolist() == pytest.approx([57, 4, 62, 1])
    assert found.loc[("etc", "sidewalk"), "delta_iou"] == pytest.approx(-1)
    assert found.loc[("baseline", "road"), "iou"] == pytest.approx(50)
    assert np.isnan(found.loc[("baseline", "road"), "delta_iou"]) and np.isnan(found.loc[("etc", "truck"), "iou"])
    shown = classes.display(classes.table(runs, "baseline", STREET), "iou", "baseline")
    assert list(shown.columns) == ["architecture", "class", "baseline", "etc"]
    assert shown["class"].tolist() == list(STREET.names), "in the order of the label set"
    assert shown.iloc[0].tolist() == ["pspnet18", "road", "50.00", "+4.00"]
    assert shown.iloc[-1].tolist() == ["pspnet18", "truck", "", ""]


@pytest.fixture
def by_clip():
    runs = [two_clips("baseline", seed, 50, 60) for seed in (0, 1)]
    runs += [two_clips("etc", 0, 51, 64), two_clips("etc", 1, 53, 58), two_clips("tl", 7, 0, 0)]
    return clips.table(runs, "baseline")


def test_clips_have_each_chain_and_their_mean(by_clip):
    rows = by_clip[["scheme", "clip", "seed"]].to_numpy().tolist()
    assert rows == [["etc", clip, seed] for clip in "ab" for seed in ("0", "1", "mean")], "tl shares no chain"
    for metric in ("delta_tc", "delta_miou"):
        assert by_clip[metric].tolist() == pytest.approx([1, 3, 2, 4, -2, 1])


def test_clips_are_drawn_in_the_colours_of_the_other_plots(by_clip):
    figure = plots.clip_dots(by_clip, ["baseline", "tl", "etc"])
    assert [axes.get_title() for axes in figure.axes] == ["ΔTC (percentage points)", "ΔmIoU (percentage points)"]
    drawn = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert [line.get_color() for line in drawn] == [drawing.COLOURS[2]]
    assert drawn[0].get_ydata().tolist() == pytest.approx([2, 1])
    bare = plots.clip_dots(by_clip.assign(delta_miou=np.nan), ["baseline", "tl", "etc"])
    assert len(bare.axes) == 1
    assert drawing.png(figure, 50) == drawing.png(plots.clip_dots(by_clip, ["baseline", "tl", "etc"]), 50)
