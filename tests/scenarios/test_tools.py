"""The commands that people know from DVC and Snakemake work on this pipeline."""

import csv
import json
import re
import shlex
import zipfile
from pathlib import Path

import pytest

from etc.commands.show import EXPERIMENTS
from tests.scenarios.project import ROOT


def test_dvc_exp_run_changes_a_parameter_and_keeps_the_experiment(project):
    result = project.run("dvc exp run -n trial -S 'params/report.yaml:street.confidence=0.9'")
    assert result.ran == {"report@street"}
    assert "trial" in project.run("dvc exp show --csv").text
    shown = next(csv.reader(project.run(f"dvc {shlex.join(EXPERIMENTS)} --csv").text.splitlines()))
    assert len(shown) < 10 and "street.confidence" in shown
    assert "trial" in project.run("etc show --experiments").text


def marked(project, word):
    """Let the code of the frames leave a word beside them."""
    path, call = project.folder / "etc/stages/frames.py", "    replace_folder(scratch.root, data.root)\n"
    text = re.sub(r"    \(scratch.root / 'word'\).*\n", "", path.read_text())
    assert call in text
    path.write_text(text.replace(call, f"    (scratch.root / 'word').write_text('{word}')\n{call}"))


def test_a_queued_experiment_runs_the_code_that_it_was_queued_with(unserved):
    """Python finds the code of the project first, as with an editable install; that of the queue is a copy."""
    word = unserved.folder / "data/street/root/word"
    marked(unserved, "queued")
    unserved.run("dvc exp run --queue -n trial frames@street")
    marked(unserved, "later")
    unserved.run("dvc exp run --run-all")
    # What DVC has kept for other code is not taken for this one, and what it has kept for this one is of this one.
    assert unserved.repro("--single-item frames@street").ran == {"frames@street"}
    assert word.read_text() == "later"
    marked(unserved, "queued")
    assert unserved.repro("--single-item frames@street").restored == {"frames@street"}
    assert word.read_text() == "queued"


def test_there_need_be_no_ablation(project):
    project.change("experiment.yaml", "ablation.schemes", [])
    assert project.due_by_dvc() == project.due_by_snakemake() == {"report@street"}


def test_a_first_look_is_taken_beside_the_project(project):
    before = [*project.contents("params").items(), *project.contents().items()]
    locked = (project.folder / "dvc.lock").read_bytes()
    text = project.run("etc quick street --steps 2").text
    rows = [line.split()[0] for line in text.splitlines() if line.split()[:1] in (["baseline"], ["tl"], ["etc"])]
    assert rows == ["baseline", "tl"]
    for name in ("results/street/index.html", "data/street/students/pspnet18-tl-0/weights.safetensors"):
        assert f"work/quick-street/{name}".removesuffix("/weights.safetensors") in text
        assert (project.folder / "work/quick-street" / name).is_file()
    assert [*project.contents("params").items(), *project.contents().items()] == before
    assert (project.folder / "dvc.lock").read_bytes() == locked
    assert not project.run("etc quick street --steps 2").ran
    assert "up to date" in project.run("dvc status").text


def test_dvc_params_diff_names_the_changed_key(project):
    project.change("student.yaml", "street.training.lr", 0.5)
    assert "street.training.lr" in project.run("dvc params diff").text


def test_dvc_metrics_show_has_every_scheme(project):
    text = project.run("dvc metrics show --json").text
    metrics = json.loads(text)[""]["data"]["results/street/metrics.json"]["data"]
    assert set(metrics["pspnet18"]) == {"tl", "etc", "sf", "labeller", "teacher"}


def test_dvc_plots_show_makes_a_page(project):
    project.run("dvc plots show -o work/plots")
    page = (project.folder / "work/plots/index.html").read_text()
    assert "runs.csv" in page and "schemes.png" in page


def test_dvc_dag_shows_the_chain(project):
    text = project.run("dvc dag --dot").text
    assert '"labeller@street-0" -> "pseudo_labels@street-0"' in text.replace("'", '"')


def test_snakemake_rulegraph_shows_the_experiment(project):
    text = project.run("snakemake --rulegraph").text
    for rule in ("make_frames", "compute_flow", "train_teacher", "distil_student", "evaluate_student", "write_report"):
        assert rule in text


def test_snakemake_report_begins_with_words_and_has_the_moving_comparison(project):
    project.run("snakemake --report work/report.zip")
    with zipfile.ZipFile(project.folder / "work/report.zip") as report:
        names = {Path(name).name for name in report.namelist()}
        page = report.read("report/report.html").decode()
    assert {"overlay.webp", "schemes.md", "schemes.png", "differences.png", "terms.md", "strip.png"} <= names
    assert "learns consistency between frames" in " ".join(page.split())
    for words in ("moving pictures", "no student has seen"):
        assert words in page


def test_a_finished_run_becomes_a_crate(project):
    pytest.importorskip("rocrate")
    project.run("etc crate street --to work/street.zip && etc crate street --to work/street.zip")
    with zipfile.ZipFile(project.folder / "work/street.zip") as crate:
        names = set(crate.namelist())
        about = {one["@id"]: one for one in json.loads(crate.read("ro-crate-metadata.json"))["@graph"]}
        assert crate.read("dvc.lock") == (project.folder / "dvc.lock").read_bytes()
    results = {f"results/street/{name}" for name in ("tables/schemes.csv", "plots/overlay.webp", "metrics.json")}
    assert results | {"Snakefile", "dvc.yaml", "requirements.lock", "params/student.yaml"} <= names
    run = about["#run-street"]
    assert run["@type"] == "CreateAction" and run["instrument"] == {"@id": "Snakefile"}
    assert results <= {one["@id"] for one in run["result"]} and run["startTime"] <= run["endTime"]
    assert about["./"]["mainEntity"] == {"@id": "Snakefile"} and about["./"]["mentions"] == {"@id": "#run-street"}


def test_a_crate_holds_no_frames_that_git_may_not_have():
    crate = pytest.importorskip("etc.crate", exc_type=ImportError)
    ignored = re.findall(r"^/results/\*/(.+?)/?$", (ROOT / ".gitignore").read_text(), re.M)
    assert set(ignored) == set(crate.FRAMES_IN)


def test_no_crate_of_a_run_that_is_not_finished(project):
    pytest.importorskip("rocrate")
    project.change("report.yaml", "street.confidence", 0.8)
    result = project.run("etc crate street --to work/street.zip", check=False)
    assert result.code == 1 and "1 stage is due, e.g. report@street: run `make results` first" in result.text
    assert not (project.folder / "work/street.zip").exists()


def test_snakemake_lint_finds_nothing(project):
    assert "Congratulations" in project.run("snakemake --lint").text


@pytest.mark.parametrize("command", ["snakemake --cores 1", "etc report street"])
def test_a_typo_in_params_stops_before_anything_runs(project, command):
    project.change("report.yaml", "street.plots", {"dpi": 110, "smoothnig": 25})
    result = project.run(command, check=False)
    assert result.code != 0 and not result.ran
    assert "params/report.yaml" in result.text and "street.plots.smoothnig" in result.text
    assert "did you mean 'smoothing'?" in result.text
    assert "Traceback" not in result.text
