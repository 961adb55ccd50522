"""The stage on a made-up project: what it writes, what it refuses, and that it repeats exactly."""

import errno
import hashlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from etc.commands.show import results_text, write_curves
from etc.core.errors import UserError
from etc.core.files import read_json, write_json
from etc.dataset import manifest
from etc.params import report as params
from etc.params import student
from etc.reporting import curves
from etc.stages import report
from tests.reporting import world

OUTPUTS = {
    *{
        f"tables/{name}"
        for name in ("schemes.csv", "schemes.md", "schemes.tex", "runs.csv", "runs.md", "terms.csv", "terms.md")
    },
    *{f"tables/{name}.csv" for name in ("classes", "clips", "data")},
    *{
        f"plots/{name}"
        for name in ("schemes.png", "clips.png", "losses.png", "learning.png", "strip.png", "pseudo_labels.png")
    },
    *{"plots/differences.png", "plots/classes.png", *(f"video/{clip}.mp4" for clip in world.SHOWN)},
    *{"metrics.json", "index.html", "plots/overlay.webp", "tables/pseudo_labels.csv"},
}


QUALITIES = {"baseline": 0.6, "tl": 0.66, "etc": 0.7}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A project before the report, only to be copied."""
    root = tmp_path_factory.mktemp("original")
    world.make(root, qualities=QUALITIES)
    edit(root, "dpi: 192", "dpi: 50")
    return root


@pytest.fixture
def project(original, tmp_path, monkeypatch):
    """A project before the report, the current folder."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(original, tmp_path_factory):
    """A project with its report, only to be read, and the stage's closing line."""
    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(original, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        line = report.run("street")
    return root, line


def edit(root, old, new):
    path = root / "params" / "report.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def contents(root):
    folder = root / "results" / "street"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_writes_everything_and_nothing_big(finished):
    root, line = finished
    assert "3 schemes, 5 runs" in line and "results/street/index.html" in line
    assert set(contents(root)) == OUTPUTS
    assert all(path.stat().st_size < 500_000 for path in (root / "results").rglob("*") if path.is_file())
    assert not (root / "work").exists()


def test_times_are_shown_for_these_weights_alone_and_in_no_result(project, finished):
    def shown():
        return {line.split()[0]: line.split()[-1] for line in results_text("street").splitlines() if line.split()}

    shutil.copytree(finished[0] / "results", project / "results", dirs_exist_ok=True)
    assert "train s" not in results_text("street")
    students = project / "data/street/students"
    for seed, seconds in enumerate([30.25, 40.0, 5000.0]):
        write_json(students / f"pspnet18-etc-{seed}/config.json", {"weights_sha256": "a"})
        timing = {"train_seconds": seconds, "weights_sha256": "a"}
        write_json(students / f"pspnet18-etc-{seed}/timing.json", timing)
    assert "train s" in results_text("street") and "ms/frame" not in results_text("street")
    assert shown()["etc"] == "35", "the mean of the declared seeds"
    report.run("street")
    assert contents(project) == contents(finished[0])
    write_json(students / "pspnet18-etc-0/config.json", {"weights_sha256": "b"})
    assert shown()["etc"] == "40", "weights from a cache have no time; the one beside them is another training's"
    (students / "pspnet18-etc-1/timing.json").write_text("{")
    assert "train s" not in results_text("street")
    for seed, digest in enumerate("aa"):
        timing = {"ms_per_frame": 2.0 + seed, "weights_sha256": digest}
        write_json(project / f"data/street/timing/pspnet18-etc-{seed}.json", timing)
    assert "ms/frame" in results_text("street") and shown()["etc"] == "3.00", "the first has other weights now"
    report.run("street")
    assert contents(project) == contents(finished[0])


def test_repeats_exactly_and_ignores_what_is_not_declared(project, finished, capsys):
    extra = project / "data/street/evaluation/pspnet18-etc-7"
    extra.mkdir()
    (extra / "iou.parquet").write_bytes(b"old")
    curves = project / "data/street/history"
    for name in ("pspnet18-etc-7", "teacher-7"):
        (curves / f"{name}.parquet").write_bytes(b"old")
    (project / "data/street/evaluation/teacher-7").mkdir()
    shutil.copytree(project / "data/street/pseudo_labels/0", project / "data/street/pseudo_labels/7")
    report.run("street")
    assert contents(project) == contents(finished[0])
    assert not extra.exists()
    assert (project / "work/undeclared/street/pspnet18-etc-7/iou.parquet").read_bytes() == b"old"
    assert (project / "work/undeclared/street/pspnet18-etc-7.parquet").exists()
    left = {path.stem for path in curves.iterdir()}
    networks = {f"{kind}-{seed}" for kind in ("labeller", "teacher") for seed in (0, 1)}
    assert not {"pspnet18-etc-7", "teacher-7"} & left and {*networks, "pspnet18-etc-0"} <= left
    judged = {path.name for path in (project / "data/street/evaluation").iterdir()}
    assert "teacher-7" not in judged and networks <= judged
    assert (project / "work/undeclared/street/pseudo_labels/7/audit.csv").exists()
    assert {path.name for path in (project / "data/street/pseudo_labels").iterdir()} == {"0", "1"}
    notices = [one for one in capsys.readouterr().err.splitlines() if "not declared" in one]
    assert len(notices) == 3 and all("7" in one and "work/undeclared/street" in one for one in notices)


def judge(project):
    """Give every history judgements at two steps, and the runs seconds."""
    for path in (project / "data/street/history").glob("*.parquet"):
        history = pd.read_parquet(path)
        history[["dev_miou", "dev_tc"]] = np.nan
        history.loc[history["step"] == 199, ["dev_miou", "dev_tc"]] = 40.0, 70.0
        history.loc[history["step"] == 399, ["dev_miou", "dev_tc"]] = 50.0, 75.0
        history.to_parquet(path)
        folder = project / "data/street/students" / path.stem
        folder.mkdir(parents=True)
        timing = {"train_seconds": 8.0, "judged": [[199, 3.5], [399, 8.0]], "weights_sha256": path.stem}
        write_json(folder / "timing.json", timing)
        write_json(folder / "config.json", {"weights_sha256": path.stem})


def test_learning_curves_are_on_the_page_where_students_were_judged(project, finished):
    page = (finished[0] / "results/street/index.html").read_text()
    assert "Learning curves" not in page
    judge(project)
    report.run("street")
    assert "Learning curves" in (project / "results/street/index.html").read_text()
    drawn, sentence = (root / "results/street/plots/learning.png" for root in (project, finished[0]))
    assert drawn.stat().st_size > 2 * sentence.stat().st_size


def test_show_draws_curves_against_seconds_of_what_was_trained_here(project):
    with pytest.raises(UserError, match="no student was trained here and judged on dev; set 'training.judge_every'"):
        write_curves("street", project / "curves.png")
    judge(project)
    write_json(project / "data/street/students/pspnet18-tl-0/config.json", {"weights_sha256": "others"})
    drawn = []
    plain = curves.learning_curves

    def learning_curves(history, x):
        drawn.append((history, x))
        return plain(history, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "learning_curves", learning_curves)
        for _ in range(2):
            write_curves("street", project / "curves.png")
    history, x = drawn[0]
    assert x == "seconds" and set(history["scheme"]) == {"baseline", "etc"}
    assert history["seconds"].tolist() == [3.5, 8.0] * 4 and history["dev_miou"].tolist() == [40.0, 50.0] * 4
    (project / "theirs.png").write_bytes(b"theirs")
    with pytest.raises(UserError, match="theirs.png: exists and was not made by this command"):
        write_curves("street", project / "theirs.png")


def test_set_aside_replaces_what_was_set_aside_before(tmp_path):
    for content in ("old", "new"):
        folder = tmp_path / "evaluation" / "b"
        folder.mkdir(parents=True)
        (folder / "iou.parquet").write_text(content)
        (tmp_path / "evaluation" / "a").mkdir(exist_ok=True)
        (tmp_path / "evaluation" / ".being-written").touch()
        report.set_aside(tmp_path / "evaluation", {"a"}, tmp_path / "aside")
        assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == [".being-written", "a"]
        assert (tmp_path / "aside" / "b" / "iou.parquet").read_text() == content
    assert not (tmp_path / "aside" / "b" / "b").exists()


def test_tables_agree_with_the_counts_on_disk(finished):
    root, _ = finished
    tables = root / "results/street/tables"
    runs = pd.read_csv(tables / "runs.csv")
    names = [f"{row.scheme}-{row.seed}" for row in runs.itertuples()]
    networks = ["labeller-0", "labeller-1", "teacher-0", "teacher-1"]
    assert names == ["baseline-0", "baseline-1", "etc-0", "etc-1", "tl-0", *networks]
    for row, name in zip(runs.itertuples(), names, strict=True):
        folder = name if name in networks else f"pspnet18-{name}"
        tc = pd.read_parquet(root / f"data/street/evaluation/{folder}/tc.parquet")
        pooled = (
            tc[(tc["protocol"] == "corrected") & (tc["flow"] == "evaluate")]
            .groupby("class")[["intersection", "union"]]
            .sum()
        )
        assert row.tc == pytest.approx(100 * (pooled["intersection"] / pooled["union"]).mean(), abs=0.0051)
    schemes = pd.read_csv(tables / "schemes.csv").set_index("scheme")
    metrics = read_json(root / "results/street/metrics.json")["pspnet18"]
    for scheme, group in runs.groupby("scheme"):
        assert schemes.loc[scheme, "miou_mean"] == pytest.approx(group["miou"].mean(), abs=0.011)
        assert metrics[scheme]["tc"] == schemes.loc[scheme, "tc_mean"]
    assert schemes.loc["etc", "delta_tc_low"] < schemes.loc["etc", "delta_tc"] < schemes.loc["etc", "delta_tc_high"]
    assert schemes.loc["etc", "iterations"] == 400
    assert list(schemes.index) == ["baseline", "etc", "tl", "labeller", "teacher"]
    teacher = schemes.loc["teacher"]
    assert [teacher[name] for name in ("iterations", "parameters", "gmac")] == [900, 2_800_000, 1.75]
    assert teacher["delta_miou"] == pytest.approx(teacher["miou_mean"] - schemes.loc["baseline", "miou_mean"], abs=0.02)
    clips = pd.read_csv(tables / "clips.csv")
    assert set(clips["scheme"]) == {"etc", "tl", "labeller", "teacher"} and set(clips["clip"]) == set(world.CLIPS)
    worth = pd.read_csv(tables / "terms.csv").set_index(["scheme", "against"])
    assert worth.loc[("etc", "baseline"), "delta_tc"] == schemes.loc["etc", "delta_tc"]
    assert worth.loc[("tl", "baseline"), "term"] == "tl" and worth.loc[("etc", "tl"), "chains"] == 1


def test_page_needs_no_network_and_its_links_exist(finished):
    root, _ = finished
    page = (root / "results/street/index.html").read_text()
    links = re.findall(r'(?:src|href|data-path)="([^"]+)"', page)
    assert len(links) >= 11 and "http" not in page
    # What lies outside results/ is in the repository.
    inside, outside = ([one for one in links if one.startswith("../../") == out] for out in (False, True))
    assert all((root / "results/street" / one).is_file() for one in inside)
    assert outside and all((world.ROOT / one.removeprefix("../../")).exists() for one in outside)
    for text in ("pspnet18-baseline-0", "pspnet18-etc-0", world.CLIPS[0], "vegetation"):
        assert text in page


RUN = "pspnet18-etc-1"
OPTIONS = "--architecture pspnet18 --scheme etc --seed"


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (f"data/street/evaluation/{RUN}/iou.parquet", f"etc evaluate street {OPTIONS} 1"),
        (f"data/street/evaluation/{RUN}/tc.parquet", f"etc evaluate street {OPTIONS} 1"),
        ("data/street/evaluation/pspnet18-etc-0/sample.npz", f"etc evaluate street {OPTIONS} 0"),
        (f"data/street/history/{RUN}.parquet", f"etc student street {OPTIONS} 1"),
        ("data/street/pseudo_labels/1/audit.csv", "etc pseudo-labels street --seed 1"),
        ("data/street/frames.parquet", "frames stage"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_missing_or_damaged_input_is_named_with_the_stage_to_run(project, path, remedy, damage):
    if damage == "missing":
        (project / path).unlink()
    else:
        (project / path).write_bytes((project / path).read_bytes()[:9])
    with pytest.raises(UserError) as error:
        report.run("street")
    message = str(error.value)
    assert path in message and "\n" not in message
    assert remedy in message
    assert not contents(project), "nothing is written from incomplete inputs"


def test_undeclared_evaluations_stay_when_an_input_is_missing(project):
    (project / "data/street/evaluation/pspnet18-etc-7").mkdir()
    (project / "data/street/history" / f"{RUN}.parquet").unlink()
    with pytest.raises(UserError):
        report.run("street")
    assert (project / "data/street/evaluation/pspnet18-etc-7").exists()


def test_column_that_is_gone_is_named(project):
    path = project / "data/street/history" / f"{RUN}.parquet"
    pd.read_parquet(path).drop(columns="mf").to_parquet(path)
    with pytest.raises(UserError, match=f"{RUN}.parquet: no column 'mf'; run: etc student"):
        report.run("street")


def test_samples_of_different_frames_are_refused(project):
    path = project / "data/street/evaluation/pspnet18-etc-0/sample.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez_compressed(path, **{**kept, "frames": kept["frames"] + 1})
    with pytest.raises(UserError, match="pspnet18-etc-0/sample.npz: holds another clip or other frames"):
        report.run("street")


def test_a_sample_without_a_clip_is_told(project):
    np.savez_compressed(project / "data/street/evaluation/pspnet18-baseline-0/sample.npz")
    with pytest.raises(UserError, match="holds no clip of several frames, .*change 'split' in params/evaluate.yaml"):
        report.run("street")


def test_rows_of_the_videos_are_named_whatever_the_order_of_the_table(project):
    edit(project, "baseline: baseline", "baseline: etc")
    edit(project, "compare: [etc]", "compare: [baseline]")
    report.run("street")
    page = (project / "results/street/index.html").read_text()
    assert "From top to bottom: pspnet18-etc-0, pspnet18-baseline-0. From left" in page


def test_scheme_that_is_not_declared_is_named(project):
    edit(project, "compare: [etc]", "compare: [sf_tl]")
    with pytest.raises(UserError, match="key 'street.compare' names 'sf_tl', but .*declares only baseline, etc, tl"):
        report.run("street")


def test_an_evaluation_of_an_earlier_version_is_to_be_made_again(project):
    path = project / f"data/street/evaluation/{RUN}/made.json"
    write_json(path, {"portable": True})
    with pytest.raises(UserError, match=f"{RUN}/made.json: no key 'parameters'; run: etc evaluate street {OPTIONS} 1"):
        report.run("street")
    path.unlink()
    with pytest.raises(UserError, match=f"{RUN}/made.json: no such file; run: etc evaluate street {OPTIONS} 1"):
        report.run("street")


def test_a_labeller_that_was_taken_as_it_is_has_no_iterations(project):
    path = project / "data/street/history/labeller-0.parquet"
    pd.read_parquet(path).iloc[:0].to_parquet(path)
    report.run("street")
    runs = pd.read_csv(project / "results/street/tables/runs.csv")
    assert runs.loc[runs["scheme"] == "labeller", "iterations"].tolist() == [0, 900]


@pytest.mark.parametrize("name", ["labeller", "teacher"])
def test_a_scheme_may_not_be_called_as_what_students_learn_from(project, name):
    path = project / "params/student.yaml"
    path.write_text(path.read_text().replace("    sf_mf: {", f"    {name}: {{", 1))
    with pytest.raises(UserError, match=rf"the tables call the {name} itself '{name}'; give the scheme another name"):
        student.load("street")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("compare: [etc]", "compare: [etc, baseline]", "street.compare' = .*named twice"),
        ("confidence: 0.95", "confidence: 95", r"street.confidence' = 95.*<= 0.999"),
        ("panel_width: 256", "panel_wdith: 256", "street.strip.panel_wdith"),
        ("quality: 70", "quality: best", "street.overlay.quality' = 'best'"),
    ],
)
def test_wrong_parameter_is_named(project, old, new, complaint):
    edit(project, old, new)
    with pytest.raises(UserError, match=complaint):
        params.load("street")


def test_file_too_big_for_git_is_refused_with_the_keys_to_lower(tmp_path):
    with pytest.raises(UserError, match="more than the 500000 that results may have in git; lower dpi"):
        report._write(tmp_path / "strip.png", bytes(500_001))
    assert not list(tmp_path.iterdir())


def test_clip_without_truth_has_no_row_of_truth(project, finished):
    path = project / "data/street/frames.parquet"
    frames = manifest.read(path).assign(label="", label_checksum="", annotated=False)
    manifest.write(path, frames, manifest.read_label_set(path))
    report.run("street")
    pictures = [(root / "results/street/plots/strip.png").read_bytes() for root in (finished[0], project)]
    heights = [int.from_bytes(data[20:24], "big") for data in pictures]
    assert heights[0] - heights[1] == 128 + 4


def test_data_without_labels_have_consistency_alone(project):
    for path in (project / "data/street/evaluation").glob("*/iou.parquet"):
        pd.read_parquet(path).iloc[:0].to_parquet(path, index=False)
    report.run("street")
    results = project / "results/street"
    table = pd.read_csv(results / "tables/schemes.csv")
    assert table["miou_mean"].isna().all() and table["tc_mean"].notna().all()
    assert table.loc[table["scheme"] == "etc", "delta_tc"].notna().all() and table["delta_miou"].isna().all()
    for scheme in read_json(results / "metrics.json")["pspnet18"].values():
        assert set(scheme) == {"tc", "tc_visible", "agreement"}
    for name in ("schemes.md", "runs.md", "schemes.tex"):
        text = (results / "tables" / name).read_text()
        assert "nan" not in text and "mIoU" not in text and "pixel acc." not in text and "TC" in text
    page = (results / "index.html").read_text()
    shown = page.replace("no mIoU", "").replace("TC together with mIoU", "")
    assert "Quality" not in page and "mIoU" not in shown and "IoU per class" not in page and "pixel acc" not in page
    assert "<h2>Two measures of consistency</h2>" in page and "The data has no labels" in page
    assert (results / "plots/schemes.png").stat().st_size > 10_000
    assert "mIoU" not in results_text("street") and "ΔTC" in results_text("street")


def test_the_audits_of_all_chains_are_pooled_and_their_means_drawn(project, monkeypatch):
    drawn, plain = [], report.plots.pseudo_label_bars
    monkeypatch.setattr(report.plots, "pseudo_label_bars", lambda audit: (drawn.append(audit), plain(audit))[1])
    report.run("street")
    table = pd.read_csv(project / "results/street/tables/pseudo_labels.csv")
    assert table.columns[0] == "seed"
    for seed, rows in table.groupby("seed"):
        written = pd.read_csv(project / f"data/street/pseudo_labels/{seed}/audit.csv")
        pd.testing.assert_frame_equal(rows.drop(columns="seed").reset_index(drop=True), written.round(4))
    (audit,) = drawn
    assert list(audit["class"]) == [*world.STREET.names, "all"]
    halves = [rows["kept_share"].to_numpy() for _, rows in table.groupby("seed")]
    np.testing.assert_allclose(audit["kept_share"], np.mean(halves, axis=0), atol=1e-4)


def test_pseudo_labels_without_truth_have_no_word_of_accuracy(project):
    for path in (project / "data/street/pseudo_labels").glob("*/audit.csv"):
        pd.read_csv(path).assign(accuracy_before=np.nan, accuracy_kept=np.nan).to_csv(path, index=False)
    report.run("street")
    page = (project / "results/street/index.html").read_text()
    assert "confidence filter, means over chains." in page and "The truth is used here" not in page


@pytest.mark.parametrize("name", ["metrics.json", "plots/strip.png"])
def test_a_report_that_cannot_be_written_leaves_the_last_one(project, finished, monkeypatch, name):
    shutil.copytree(finished[0] / "results", project / "results", dirs_exist_ok=True)
    before = contents(project)
    edit(project, "confidence: 0.95", "confidence: 0.9")
    write = report.write_json if name == "metrics.json" else report._write

    def full(path, content):
        if path.as_posix().endswith(name):
            raise OSError(errno.ENOSPC, "full", str(path))
        write(path, content)

    monkeypatch.setattr(report, "write_json" if name == "metrics.json" else "_write", full)
    with pytest.raises(OSError, match="full"):
        report.run("street")
    assert contents(project) == before


def test_reporting_needs_no_torch():
    code = "import sys, etc.stages.report; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=world.ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_runs_without_the_portable_settings_are_named_in_tables_and_page(project):
    made = project / "data/street/evaluation/pspnet18-etc-1/made.json"
    write_json(made, {**read_json(made), "portable": False})
    report.run("street")
    said = "Computed without the portable settings, so that other processors give other bits: pspnet18-etc-1."
    output = project / "results/street"
    for name in ("tables/schemes.md", "tables/runs.md", "index.html"):
        assert said in (output / name).read_text().replace("\n", " ")
    write_json(made, {**read_json(made), "portable": True})
    report.run("street")
    assert "portable" not in (output / "tables/schemes.md").read_text()
