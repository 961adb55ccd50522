"""Table values against sums done by hand."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from etc.core.errors import UserError
from etc.dataset.label_sets import STREET
from etc.evaluation.consistency import PairResult
from etc.evaluation.counts import counts_table, pair_records
from etc.evaluation.iou import IouCounts
from etc.evaluation.tc import frequent_classes, pair_counts, pixel_agreement
from etc.params.experiment import Run
from etc.reporting import tables, terms
from etc.reporting.evaluations import ClipCounts, Evaluation, Made
from tests.reporting.world import iou_rows, random_counts, tc_rows

CONFIDENCE = 0.95
MADE = Made(portable=True, parameters=183_412, gmac=0.1234567)


def evaluation(scheme, seed, clips, iterations=100, architecture="pspnet18"):
    """A run from per-clip counts: {clip: (tp, intersection)} of two classes with 100 pixels of union each."""
    iou, tc = [], []
    for clip, (tp, intersection) in clips.items():
        tp, intersection = np.array(tp), np.array(intersection)
        wrong = 100 - tp
        iou.append(iou_rows(clip, 0, tp, wrong // 2, wrong - wrong // 2))
        tc.append(tc_rows(clip, 0, intersection, [100, 100], "corrected"))
        tc.append(tc_rows(clip, 0, intersection + 4, [100, 100], "occlusion_aware"))
    return from_tables(Run(architecture, scheme, seed), pd.concat(iou), pd.concat(tc), iterations)


def from_tables(run, iou, tc, iterations=1):
    return Evaluation.from_tables(run, iou, tc, STREET.count, iterations, MADE)


def two_clips(scheme, seed, first, second, **kwargs):
    """Both classes have the share ``first`` (%) in one clip and ``second`` in the other, for mIoU and TC alike."""
    return evaluation(scheme, seed, {"a": ([first] * 2, [first] * 2), "b": ([second] * 2, [second] * 2)}, **kwargs)


def test_run_values_by_hand():
    # Class 0: tp 60+20 of a union of 100+60; class 1: 30 of 60; class 2 nowhere; class 3 predicted but never true.
    iou = pd.concat(
        [
            iou_rows("a", 0, [60, 30, 0, 0], [20, 10, 0, 5], [20, 20, 0, 0]),
            iou_rows("b", 3, [20, 0, 0, 0], [30, 0, 0, 0], [10, 0, 0, 0]),
        ]
    )
    tc = pd.concat(
        [
            tc_rows("a", 0, [50, 10, 0, 0], [60, 30, 0, 0], "corrected"),
            tc_rows("b", 0, [30, 0, 0, 0], [40, 0, 0, 0], "corrected"),
            tc_rows("a", 0, [45, 9, 0, 0], [50, 10, 0, 0], "occlusion_aware"),
            tc_rows("a", 0, [20, 3, 0, 0], [40, 12, 0, 0], "corrected", "compare"),
        ]
    )
    row = tables.run_table([from_tables(Run("pspnet18", "tl", 4), iou, tc, 450)]).iloc[0]
    assert row["miou"] == pytest.approx(100 * (80 / 160 + 30 / 60 + 0 / 5) / 3)
    assert row["pixel_accuracy"] == pytest.approx(100 * 110 / 160)
    assert row["tc"] == pytest.approx(100 * (80 / 100 + 10 / 30) / 2)
    assert row["tc_visible"] == pytest.approx(100 * (45 / 50 + 9 / 10) / 2)
    assert row["tc_compare"] == pytest.approx(100 * (20 / 40 + 3 / 12) / 2)
    assert row["agreement"] == pytest.approx(100 * 90 / ((130 + 90) / 2))
    assert [row["architecture"], row["scheme"], row["seed"]] == ["pspnet18", "tl", 4]
    assert row["iterations"] == 450


def test_tables_of_the_stage_give_tc_and_agreement_of_all_pixels():
    """Two clips of two pairs, of 40 x 50 and 20 x 10 pixels, some of them ignored: pixels count alike, not pairs."""
    draw = np.random.default_rng(0)
    records, maps = [], []
    for clip, source, size in [("a", 0, (40, 50)), ("a", 1, (40, 50)), ("b", 0, (20, 10)), ("b", 1, (20, 10))]:
        first, second = draw.choice([0, 1, 2, 255], (2, *size), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
        counts = pair_counts(first, second, np.zeros((*size, 2), np.float32), None, 3)
        pair = PairResult(clip, source, source + 1, {"corrected": counts})
        records += [{"flow": "evaluate", **record} for record in pair_records(pair)]
        valid = (first != 255) & (second != 255)
        maps.append((first[valid], second[valid]))
    first, second = map(np.concatenate, zip(*maps, strict=True))
    iou = iou_rows("a", 0, [1], [0], [0])
    row = tables.run_table([from_tables(Run("pspnet18", "tl", 0), iou, counts_table(records, 3).to_pandas())]).iloc[0]
    assert row["agreement"] == pytest.approx(100 * (first == second).mean())
    shares = [((first == c) & (second == c)).sum() / ((first == c) | (second == c)).sum() for c in range(3)]
    assert row["tc"] == pytest.approx(100 * np.mean(shares))
    assert np.isnan(row["tc_visible"]) and np.isnan(row["tc_compare"])


def test_scheme_rows_have_the_promised_columns_and_order():
    runs = [two_clips("baseline", 0, 50, 60), two_clips("tl", 0, 55, 65), two_clips("etc", 0, 60, 70)]
    runs += [two_clips("etc", 0, 70, 80, architecture="other")]
    table = tables.scheme_table(runs, "baseline", CONFIDENCE)
    assert tables.csv(table).splitlines()[0] == (
        "architecture,scheme,seeds,miou_mean,miou_std,pixel_accuracy_mean,tc_mean,tc_std,tc_frequent_mean,"
        "tc_visible_mean,agreement_mean,"
        "iterations,parameters,gmac,delta_chains,delta_tc,delta_tc_low,delta_tc_high,delta_tc_spread,"
        "delta_tc_frequent,delta_tc_frequent_low,delta_tc_frequent_high,delta_tc_frequent_spread,"
        "delta_agreement,delta_agreement_low,delta_agreement_high,delta_agreement_spread,"
        "delta_miou,delta_miou_low,delta_miou_high,delta_miou_spread,tc_compare_mean"
    )
    rows = list(zip(table["architecture"], table["scheme"], strict=True))
    assert rows == [("pspnet18", "baseline"), ("pspnet18", "tl"), ("pspnet18", "etc"), ("other", "etc")]
    # The other architecture has no baseline of its own to be compared with.
    assert table.iloc[3][tables.DELTA_COLUMNS].isna().all()


def test_means_and_spread_over_seeds():
    runs = [two_clips("baseline", seed, 50 + 2 * seed, 60 + 2 * seed) for seed in range(3)]
    runs += [two_clips("etc", 0, 70, 80, iterations=200)]
    baseline, etc = tables.scheme_table(runs, "baseline", CONFIDENCE).to_dict("records")
    assert [baseline["seeds"], etc["seeds"]] == [3, 1]
    assert baseline["miou_mean"] == pytest.approx(np.mean([55, 57, 59]))
    assert baseline["miou_std"] == baseline["tc_std"] == pytest.approx(2.0)
    assert baseline["tc_visible_mean"] == pytest.approx(61.0)
    assert etc["iterations"] == 200
    assert np.isnan(etc["miou_std"]) and np.isnan(etc["tc_std"])
    line = tables.csv(tables.scheme_table(runs, "baseline", CONFIDENCE)).splitlines()[2]
    assert line.startswith("pspnet18,etc,1,75.00,,")


def test_the_data_table_tells_one_set_of_frames_from_another():
    rows = {
        "clip": ["a", "a", "b"],
        "frame": [0, 1, 0],
        "split": ["train", "train", "test"],
        "annotated": [False, True, False],
        "label": ["", "l.png", ""],
        "bytes": [1_000_000, 500_000, 2_000_000],
        "checksum": ["1" * 32, "2" * 32, "3" * 32],
        "label_checksum": ["", "4" * 32, ""],
    }
    table = tables.data_table(pd.DataFrame(rows)).set_index("split")
    assert table.loc["train", ["clips", "frames", "labels", "annotated", "megabytes"]].tolist() == [1, 2, 1, 1, 1.5]
    changed = tables.data_table(pd.DataFrame(rows | {"label_checksum": ["", "5" * 32, ""]})).set_index("split")
    assert changed.loc["train", "checksum"] != table.loc["train", "checksum"]
    assert changed.loc["test", "checksum"] == table.loc["test", "checksum"]


def test_difference_uses_shared_seeds_only():
    # Seed 9 of the baseline would move its mean by far; it has no partner and must not enter the difference.
    runs = [two_clips("baseline", 0, 50, 60), two_clips("baseline", 1, 52, 62), two_clips("baseline", 9, 0, 0)]
    runs += [two_clips("etc", 0, 53, 63), two_clips("etc", 1, 57, 67), two_clips("etc", 5, 99, 99)]
    baseline, etc = tables.scheme_table(runs, "baseline", CONFIDENCE).to_dict("records")
    assert etc["delta_tc"] == etc["delta_miou"] == pytest.approx((3 + 5) / 2)
    alike = {(one.run.scheme, one.run.seed): 100 * pixel_agreement(one.tc.pooled()) for one in runs}
    gains = [alike["etc", seed] - alike["baseline", seed] for seed in (0, 1)]
    assert etc["delta_agreement"] == pytest.approx(np.mean(gains)) and np.ptp(gains) > 0
    assert etc["delta_agreement_low"] < np.mean(gains) < etc["delta_agreement_high"]
    assert all(np.isnan(baseline[name]) for name in tables.DELTA_COLUMNS)


def test_one_chain_has_the_t_interval_over_clips_and_is_marked():
    # Clips of one size, of differences 2 and 10: t of 1 degree of freedom is 12.706, the standard error 4.
    runs = [two_clips("baseline", 0, 50, 60), two_clips("etc", 0, 52, 70)]
    table = tables.scheme_table(runs, "baseline", CONFIDENCE)
    for metric in ("tc", "miou"):
        ends = [table.iloc[1][f"delta_{metric}{end}"] for end in ("_low", "", "_high")]
        assert ends == pytest.approx([6 - 12.7062 * 4, 6, 6 + 12.7062 * 4], abs=1e-3)
        assert np.isnan(table.iloc[1][f"delta_{metric}_spread"])
    read = pd.read_csv(StringIO(tables.csv(table)))
    for one in (table, read):
        assert one["delta_chains"].iloc[1] == 1
        assert tables.display(one)["ΔTC"].tolist() == ["", "+6.00 [-44.82, +56.82]†"]
    assert tables.terminal_table(read).endswith("holds for this labeller, teacher and start.")


def test_one_clip_has_the_t_interval_over_chains():
    runs = [evaluation("baseline", seed, {"a": ([50] * 2, [50] * 2)}) for seed in range(3)]
    runs += [evaluation("etc", seed, {"a": ([52 + 2 * seed] * 2, [56] * 2)}) for seed in range(3)]
    etc = tables.scheme_table(runs, "baseline", CONFIDENCE).iloc[1]
    margin = 4.30265 * 2 / np.sqrt(3)
    assert [etc["delta_miou_low"], etc["delta_miou_high"]] == pytest.approx([4 - margin, 4 + margin], abs=1e-4)
    assert [etc[f"delta_tc{end}"] for end in ("_low", "", "_high", "_spread")] == pytest.approx([6, 6, 6, 0])
    assert etc["delta_miou_spread"] == pytest.approx(2.0) and etc["delta_chains"] == 3


def test_one_chain_and_one_clip_have_no_interval():
    runs = [evaluation(scheme, 0, {"a": ([50 + i] * 2, [50] * 2)}) for i, scheme in enumerate(("baseline", "etc"))]
    table = tables.scheme_table(runs, "baseline", CONFIDENCE)
    assert tables.display(table)["ΔmIoU"].tolist() == ["", "+1.00"]


def test_chains_and_clips_by_the_analysis_of_variance():
    """Clips of one size: the jackknife's values are the differences themselves."""
    draw = np.random.default_rng(2)
    gains = draw.integers(0, 12, (3, 7))
    runs = [
        evaluation(scheme, seed, {f"c{i}": ([50 + on * gain] * 2, [50 + on * gain] * 2) for i, gain in enumerate(row)})
        for on, scheme in enumerate(("baseline", "etc"))
        for seed, row in enumerate(gains)
    ]
    etc = tables.scheme_table(runs, "baseline", CONFIDENCE).iloc[1]
    rows, columns = gains.mean(axis=1, keepdims=True), gains.mean(axis=0, keepdims=True)
    square = ((gains - rows - columns + gains.mean()) ** 2).sum() / 12
    chains, clips = rows.var(ddof=1) / 3, columns.var(ddof=1) / 7 - square / 21
    freedom = (chains + clips) ** 2 / (chains**2 / 2 + clips**2 / 6)
    assert clips > 0
    for metric in ("tc", "miou"):
        margin = (etc[f"delta_{metric}_high"] - etc[f"delta_{metric}_low"]) / 2
        assert margin == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(chains + clips))
        assert etc[f"delta_{metric}"] == pytest.approx(gains.mean())
        assert etc[f"delta_{metric}_spread"] == pytest.approx(rows.std(ddof=1))


def test_a_clip_that_holds_all_there_is_gives_no_interval():
    runs = [evaluation(scheme, seed, {"a": ([60] * 2, [60] * 2)}) for scheme in ("baseline", "etc") for seed in (0, 1)]
    empty = IouCounts(*(np.zeros_like(part) for part in runs[0].tc.counts[:4]))
    both = [IouCounts(*map(np.concatenate, zip(one.tc.counts[:4], empty[:4], strict=True))) for one in runs]
    runs = [replace(one, tc=ClipCounts(("a", "b"), counts)) for one, counts in zip(runs, both, strict=True)]
    etc = tables.scheme_table(runs, "baseline", CONFIDENCE).iloc[1]
    assert etc["delta_tc"] == 0 and np.isnan(etc["delta_tc_low"]) and np.isnan(etc["delta_tc_high"])


def test_pairing_removes_what_clips_and_seeds_have_in_common():
    # Clips and seeds differ widely, the gain is 5 points everywhere: the paired interval is a point.
    runs = [two_clips("baseline", seed, 20 + 10 * seed, 60 + 10 * seed) for seed in range(3)]
    runs += [two_clips("etc", seed, 25 + 10 * seed, 65 + 10 * seed) for seed in range(3)]
    etc = tables.scheme_table(runs, "baseline", CONFIDENCE).iloc[1]
    assert [etc["delta_tc_low"], etc["delta_tc"], etc["delta_tc_high"]] == pytest.approx([5.0, 5.0, 5.0])


def test_a_higher_confidence_is_wider():
    draw = np.random.default_rng(5)
    runs = [
        from_tables(Run("pspnet18", scheme, seed), *random_counts(draw, quality))
        for scheme, quality in (("baseline", 0.6), ("etc", 0.65))
        for seed in (0, 1)
    ]
    narrow, wide = (tables.scheme_table(runs, "baseline", level).iloc[1] for level in (0.8, 0.95))
    assert narrow["delta_tc"] == wide["delta_tc"]
    assert wide["delta_tc_low"] < narrow["delta_tc_low"] < narrow["delta_tc_high"] < wide["delta_tc_high"]


def test_runs_on_different_clips_are_refused():
    other = evaluation("etc", 0, {"a": ([50] * 2, [50] * 2), "c": ([50] * 2, [50] * 2)})
    with pytest.raises(UserError, match="'pspnet18-etc-0' was evaluated on 2 clips.*run the evaluate stage"):
        tables.scheme_table([two_clips("baseline", 0, 50, 60), other], "baseline", CONFIDENCE)


def test_networks_are_given_with_their_size():
    table = tables.scheme_table([two_clips("baseline", 0, 50, 60)], "baseline", CONFIDENCE)
    assert ",183412,0.1235," in tables.csv(table).splitlines()[1]
    shown = tables.display(pd.read_csv(StringIO(tables.csv(table))))
    assert shown[["params, M", "GMAC"]].iloc[0].tolist() == ["0.183", "0.123"]
    before = tables.display(table.drop(columns=tables.COST))
    assert "GMAC" not in before, "results of an earlier version have no such columns"


def test_metrics_are_nested_by_architecture_and_scheme():
    runs = [two_clips("baseline", 0, 50, 60), two_clips("etc", 0, 53, 63)]
    tree = tables.metrics(tables.scheme_table(runs, "baseline", CONFIDENCE))
    assert tree["pspnet18"]["etc"] == {"miou": 58.0, "tc": 58.0, "tc_visible": 62.0, "agreement": 73.42}


def rare_and_frequent(scheme, seed, rare):
    """990 of 1,000 pixels of class 0 agree; class 1 has a union of ``rare``, none of which agree."""
    tc = pd.concat([tc_rows(clip, 0, [990 - i, 0], [1000, rare], "corrected") for i, clip in enumerate("ab")])
    iou = pd.concat([iou_rows(clip, 0, [50, 50], [0, 0], [50, 50]) for clip in "ab"])
    return from_tables(Run("pspnet18", scheme, seed), iou, tc)


def test_a_class_that_one_run_hardly_predicts_moves_tc_but_not_tc_frequent():
    runs = [rare_and_frequent("baseline", seed, 0) for seed in (0, 1)]
    runs += [rare_and_frequent("tl", seed, 2) for seed in (0, 1)]
    frequent, rare = frequent_classes([one.tc.pooled() for one in runs], 0.01)
    assert np.flatnonzero(frequent).tolist() == [0] and np.flatnonzero(rare).tolist() == [1]
    tl = tables.scheme_table(runs, "baseline", CONFIDENCE, frequent).iloc[1]
    assert tl["delta_tc"] == pytest.approx(-98.95 / 2), "half of the mean is the class of two pixels"
    assert tl["tc_frequent_mean"] == pytest.approx(98.95)
    assert tl["delta_tc_frequent"] == tl["delta_tc_frequent_low"] == tl["delta_tc_frequent_high"] == 0
    worth = terms.table(runs, [terms.Comparison("tl", "baseline", "tl")], CONFIDENCE, frequent)
    assert worth.loc[0, "delta_tc_frequent"] == 0 and "ΔTC frequent" in terms.display(worth)


def test_tc_frequent_is_shown_where_classes_are_left_out_and_says_which():
    runs = [rare_and_frequent("baseline", 0, 0), rare_and_frequent("tl", 0, 2)]
    frequent, _ = frequent_classes([one.tc.pooled() for one in runs], 0.01)
    schemes = tables.scheme_table(runs, "baseline", CONFIDENCE, frequent)
    shown = tables.display(schemes)
    assert shown["TC frequent"].tolist() == ["98.95", "98.95"] and shown["ΔTC frequent"].iloc[1].startswith("+0.00 [")
    assert "TC frequent" in tables.display_runs(tables.run_table(runs, frequent))
    assert tables.terminal_table(schemes).endswith("'TC frequent' leaves classes out: tables/schemes.md names them.")
    every = tables.scheme_table(runs, "baseline", CONFIDENCE)
    before = every.drop(columns=[name for name in every if "frequent" in name])
    for table in (every, before):
        assert not [name for name in tables.display(table) if "frequent" in name]
    assert tables.note(0.95, 0.01, ["pole", "sign"]).endswith(
        "'TC frequent' is TC over the classes that make up at least 1 % of the predictions of every run in this table: "
        "all but pole, sign."
    )
    assert "frequent" not in tables.note(0.95, 0.01, [])


def test_csv_has_no_negative_zero():
    assert tables.csv(pd.DataFrame({"value": [-0.001, 0.004, -1.005]})).splitlines()[1:] == ["0.00", "0.00", "-1.00"]


@pytest.fixture
def schemes():
    runs = [two_clips("baseline", seed, 50 + seed, 60) for seed in (0, 1)]
    runs += [two_clips("sf_pf", 0, 49, 58), *(two_clips("etc", seed, 53, 64) for seed in (0, 1))]
    return tables.scheme_table(runs, "baseline", CONFIDENCE)


def test_terminal_table_reads_back_from_csv(schemes):
    text = tables.terminal_table(pd.read_csv(StringIO(tables.csv(schemes))))
    assert "pspnet18" not in text, "one architecture needs no column"
    assert "\x1b" not in text and not text.endswith("\n")
    rows = {line.split()[0]: line for line in text.splitlines()[2:]}
    assert list(rows) == ["baseline", "sf_pf", "etc", "†"]
    assert "55.25 ± 0.35" in rows["baseline"] and "[" not in rows["baseline"]
    assert "-1.50 [-7.85, +4.85]†" in rows["sf_pf"] and "±" not in rows["sf_pf"]
    assert max(map(len, text.splitlines())) <= 160


def test_terminal_table_names_architectures_when_there_are_several(schemes):
    both = pd.concat([schemes, schemes.assign(architecture="other")])
    assert "pspnet18" in tables.terminal_table(both) and "other" in tables.terminal_table(both)


def test_markdown_and_latex_have_all_cells(schemes):
    shown = tables.display(schemes)
    markdown = tables.markdown(shown, "A note.").splitlines()
    assert markdown[0] == "A note." and markdown[1] == ""
    assert {line.count("|") for line in markdown[2:]} == {len(shown.columns) + 1}
    assert len(markdown) == 2 + 2 + len(shown)
    latex = tables.latex(shown, tables.note(0.95, 0.001, [])).splitlines()
    body = [line for line in latex if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {len(shown.columns) - 1}
    assert latex[0].startswith("% ") and r"sf\_pf" in body[2] and r"$\pm$" in body[1]
    assert [r"\toprule" in latex, r"\midrule" in latex, r"\bottomrule" in latex] == [True] * 3


def test_note_names_the_confidence():
    assert "90 % interval" in tables.note(0.9, 0.001, [])
    assert "99.5 % interval" in tables.note(0.995, 0.001, [])
