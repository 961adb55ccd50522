"""Table values against sums done by hand."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from etc.core.errors import UserError
from etc.dataset.label_sets import STREET
from etc.evaluation.consistency import PairResult
from etc.evaluation.counts import counts_table, pair_records
from etc.evaluation.tc import pair_counts
from etc.params.experiment import Run
from etc.params.report import Bootstrap
from etc.reporting import tables
from etc.reporting.differences import deltas
from etc.reporting.evaluations import ClipCounts, Evaluation
from tests.reporting.world import iou_rows, random_counts, tc_rows

BOOTSTRAP = Bootstrap(samples=1000, confidence=0.95, seed=3)


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
    return Evaluation.from_tables(run, iou, tc, STREET.count, iterations)


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
    table = tables.scheme_table(runs, "baseline", BOOTSTRAP)
    table = table.drop(columns=tables.CLIP_COLUMNS)
    assert tables.csv(table).splitlines()[0] == (
        "architecture,scheme,seeds,miou_mean,miou_std,pixel_accuracy_mean,tc_mean,tc_std,tc_visible_mean,agreement_mean,"
        "iterations,delta_tc,delta_tc_low,delta_tc_high,delta_miou,delta_miou_low,delta_miou_high,"
        "tc_compare_mean"
    )
    rows = list(zip(table["architecture"], table["scheme"], strict=True))
    assert rows == [("pspnet18", "baseline"), ("pspnet18", "tl"), ("pspnet18", "etc"), ("other", "etc")]
    # The other architecture has no baseline of its own to be compared with.
    assert table.iloc[3][tables.DELTA_COLUMNS].isna().all()


def test_means_and_spread_over_seeds():
    runs = [two_clips("baseline", seed, 50 + 2 * seed, 60 + 2 * seed) for seed in range(3)]
    runs += [two_clips("etc", 0, 70, 80, iterations=200)]
    baseline, etc = tables.scheme_table(runs, "baseline", BOOTSTRAP).to_dict("records")
    assert [baseline["seeds"], etc["seeds"]] == [3, 1]
    assert baseline["miou_mean"] == pytest.approx(np.mean([55, 57, 59]))
    assert baseline["miou_std"] == baseline["tc_std"] == pytest.approx(2.0)
    assert baseline["tc_visible_mean"] == pytest.approx(61.0)
    assert etc["iterations"] == 200
    assert np.isnan(etc["miou_std"]) and np.isnan(etc["tc_std"])
    line = tables.csv(tables.scheme_table(runs, "baseline", BOOTSTRAP)).splitlines()[2]
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
    baseline, etc = tables.scheme_table(runs, "baseline", BOOTSTRAP).to_dict("records")
    assert etc["delta_tc"] == etc["delta_miou"] == pytest.approx((3 + 5) / 2)
    assert all(np.isnan(baseline[name]) for name in tables.DELTA_COLUMNS)


def test_interval_over_two_clips_ends_at_the_single_clips():
    # Each clip alone is a quarter of the resamples, so 95 % reach from one clip's difference to the other's.
    runs = [two_clips("baseline", 0, 50, 60), two_clips("etc", 0, 52, 70)]
    etc = tables.scheme_table(runs, "baseline", BOOTSTRAP).iloc[1]
    assert [etc["delta_tc_low"], etc["delta_tc"], etc["delta_tc_high"]] == pytest.approx([2.0, 6.0, 10.0])
    assert [etc["delta_miou_low"], etc["delta_miou"], etc["delta_miou_high"]] == pytest.approx([2.0, 6.0, 10.0])


@pytest.mark.parametrize(("clips", "few"), [(1, False), (2, True), (5, True), (6, False), (30, False)])
def test_an_interval_from_few_clips_is_said_to_be_too_narrow(clips, few):
    runs = [
        evaluation(scheme, seed, {f"c{one}": ([base + one] * 2, [base + one] * 2) for one in range(clips)})
        for scheme, base in (("baseline", 50), ("etc", 52))
        for seed in range(2)
    ]
    table = tables.scheme_table(runs, "baseline", BOOTSTRAP)
    assert list(table.columns) == [*tables.SCHEME_COLUMNS, *(tables.CLIP_COLUMNS if few else [])]
    read = pd.read_csv(StringIO(tables.csv(table)))
    for one in (table, read):
        shown = tables.display(one)[["ΔTC", "ΔmIoU"]].iloc[1]
        assert [text.endswith("]*") for text in shown] == [few, few], shown
        said = f"* From {clips} clips: an interval from fewer than 6 clips is too narrow."
        assert tables.few_clips_note(one) == (said if few else "")
    assert tables.terminal_table(read).endswith("is too narrow.") == few


def test_labels_on_few_clips_mark_the_difference_of_miou_alone():
    clips = {f"c{one}": ([50] * 2, [50] * 2) for one in range(6)}
    runs = [evaluation(scheme, 0, clips) for scheme in ("baseline", "etc")]
    runs = [replace(one, iou=ClipCounts(one.iou.clips[:3], first(one.iou.counts, 3))) for one in runs]
    shown = tables.display(tables.scheme_table(runs, "baseline", BOOTSTRAP)).iloc[1]
    assert shown["ΔmIoU"].endswith("]*") and shown["ΔTC"].endswith("]")


def first(counts, clips):
    return type(counts)(*(part if part is None else part[:clips] for part in counts))


def test_interval_over_two_seeds_ends_at_the_single_seeds():
    runs = [two_clips("baseline", seed, 50, 50) for seed in (0, 1)]
    runs += [two_clips("etc", 0, 51, 51), two_clips("etc", 1, 58, 58)]
    etc = tables.scheme_table(runs, "baseline", BOOTSTRAP).iloc[1]
    assert [etc["delta_tc_low"], etc["delta_tc"], etc["delta_tc_high"]] == pytest.approx([1.0, 4.5, 8.0])


def test_pairing_removes_what_clips_and_seeds_have_in_common():
    # Clips and seeds differ widely, the gain is 5 points everywhere: the paired interval is a point.
    runs = [two_clips("baseline", seed, 20 + 10 * seed, 60 + 10 * seed) for seed in range(3)]
    runs += [two_clips("etc", seed, 25 + 10 * seed, 65 + 10 * seed) for seed in range(3)]
    etc = tables.scheme_table(runs, "baseline", BOOTSTRAP).iloc[1]
    assert [etc["delta_tc_low"], etc["delta_tc"], etc["delta_tc_high"]] == pytest.approx([5.0, 5.0, 5.0])


def test_interval_covers_the_true_difference_about_as_often_as_it_says():
    draw, bootstrap = np.random.default_rng(1), Bootstrap(samples=200, confidence=0.8, seed=0)
    covered, trials = 0, 40
    for _ in range(trials):
        gains = np.rint(draw.normal(4, 3, 12)).astype(int)
        levels = draw.integers(40, 60, 12)
        clips = {f"c{i:02}": ([level] * 2, [level] * 2) for i, level in enumerate(levels)}
        better = {f"c{i:02}": ([level] * 2, [level] * 2) for i, level in enumerate(levels + gains)}
        etc = deltas([(evaluation("baseline", 0, clips), evaluation("etc", 0, better))], bootstrap)
        covered += etc["delta_tc_low"] <= 4 <= etc["delta_tc_high"]
    # 80 % of 40 are 32; four standard deviations of a binomial are 10.
    assert 22 <= covered < 40


def test_interval_repeats_exactly_and_follows_its_seed():
    draw = np.random.default_rng(5)
    runs = [
        from_tables(Run("pspnet18", scheme, seed), *random_counts(draw, quality))
        for scheme, quality in (("baseline", 0.6), ("etc", 0.65))
        for seed in (0, 1)
    ]
    first, again = (tables.scheme_table(runs, "baseline", BOOTSTRAP) for _ in range(2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    other = tables.scheme_table(runs, "baseline", Bootstrap(samples=1000, confidence=0.95, seed=4))
    assert first.iloc[1]["delta_tc"] == other.iloc[1]["delta_tc"]
    assert first.iloc[1]["delta_tc_low"] != other.iloc[1]["delta_tc_low"]


def test_runs_on_different_clips_are_refused():
    other = evaluation("etc", 0, {"a": ([50] * 2, [50] * 2), "c": ([50] * 2, [50] * 2)})
    with pytest.raises(UserError, match="'pspnet18-etc-0' was evaluated on 2 clips.*run the evaluate stage"):
        tables.scheme_table([two_clips("baseline", 0, 50, 60), other], "baseline", BOOTSTRAP)


def test_class_table_names_classes_and_leaves_absent_ones_empty():
    table = tables.class_table([two_clips("etc", 2, 50, 60)], STREET)
    assert list(table.columns) == ["architecture", "scheme", "seed", *STREET.names]
    assert table["road"].item() == pytest.approx(55.0)
    assert np.isnan(table["truck"].item())
    assert tables.csv(table).splitlines()[1] == "pspnet18,etc,2,55.00,55.00,,,,,,,"


def test_class_means_for_readers_are_over_seeds():
    classes = tables.class_table([two_clips("etc", 0, 50, 60), two_clips("etc", 1, 60, 70)], STREET)
    shown = tables.display_classes(classes)
    assert shown["road"].tolist() == ["60.00"] and shown["truck"].tolist() == [""]


def test_metrics_are_nested_by_architecture_and_scheme():
    runs = [two_clips("baseline", 0, 50, 60), two_clips("etc", 0, 53, 63)]
    tree = tables.metrics(tables.scheme_table(runs, "baseline", BOOTSTRAP))
    assert tree["pspnet18"]["etc"] == {"miou": 58.0, "tc": 58.0, "tc_visible": 62.0, "agreement": 73.42}


def test_csv_has_no_negative_zero():
    assert tables.csv(pd.DataFrame({"value": [-0.001, 0.004, -1.005]})).splitlines()[1:] == ["0.00", "0.00", "-1.00"]


@pytest.fixture
def schemes():
    runs = [two_clips("baseline", seed, 50 + seed, 60) for seed in (0, 1)]
    runs += [two_clips("sf_pf", 0, 49, 58), *(two_clips("etc", seed, 53, 64) for seed in (0, 1))]
    return tables.scheme_table(runs, "baseline", BOOTSTRAP)


def test_terminal_table_reads_back_from_csv(schemes):
    text = tables.terminal_table(pd.read_csv(StringIO(tables.csv(schemes))))
    assert "pspnet18" not in text, "one architecture needs no column"
    assert "\x1b" not in text and not text.endswith("\n")
    rows = {line.split()[0]: line for line in text.splitlines()[2:]}
    assert list(rows) == ["baseline", "sf_pf", "etc", "*"]
    assert "55.25 ± 0.35" in rows["baseline"] and "[" not in rows["baseline"]
    assert "-1.50 [-2.00, -1.00]" in rows["sf_pf"] and "±" not in rows["sf_pf"]
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
    latex = tables.latex(shown, tables.note(0.95)).splitlines()
    body = [line for line in latex if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {len(shown.columns) - 1}
    assert latex[0].startswith("% ") and r"sf\_pf" in body[2] and r"$\pm$" in body[1]
    assert [r"\toprule" in latex, r"\midrule" in latex, r"\bottomrule" in latex] == [True] * 3


def test_note_names_the_confidence():
    assert "90 % bootstrap" in tables.note(0.9)
    assert "99.5 % bootstrap" in tables.note(0.995)
