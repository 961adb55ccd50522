"""The commands that people know from DVC and Snakemake work on this pipeline."""

import json

import pytest


def test_dvc_exp_run_changes_a_parameter_and_keeps_the_experiment(project):
    result = project.run("dvc exp run -n trial -S 'params/report.yaml:street.confidence=0.9'")
    assert result.ran == {"report@street"}
    assert "trial" in project.run("dvc exp show --csv").text


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


def test_snakemake_report_is_made(project):
    project.run("snakemake --report work/report.html")
    assert (project.folder / "work/report.html").stat().st_size > 10_000


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
