"""Snakemake and DVC never disagree about what is up to date, and run exactly what a change affects."""

import itertools
import os
import shutil

import pytest

from tests.scenarios.project import Project

TOOLS = ("snakemake", "dvc")
PLAIN = {"street-pspnet18-tl-0"}
DISTILLED = {"street-pspnet18-etc-0"}
ABLATION = {"street-pspnet18-sf-0"}
STUDENTS = (
    {f"student@{run}" for run in PLAIN}
    | {f"student_distilled@{run}" for run in DISTILLED}
    | {f"student_ablation@{run}" for run in ABLATION}
)
NETWORKS = {"evaluate_network@street-labeller-0", "evaluate_network@street-teacher-0"}
EVALUATIONS = {name.replace("student", "evaluate") for name in STUDENTS}
WITH_TEACHER = {name for name in STUDENTS if not name.startswith("student@")}
FLOWS = {"flow@street-train", "flow@street-evaluate", "flow@street-compare"}
PRETRAIN = {"pretrain@street-pspnet18-0"}
ALL = (
    STUDENTS
    | EVALUATIONS
    | NETWORKS
    | FLOWS
    | PRETRAIN
    | {f"{name}@street-0" for name in ("labeller", "pseudo_labels", "teacher")}
    | {f"{name}@street" for name in ("frames", "report")}
)
# All that a second seed adds; the ablation keeps to the first.
CHAIN = {
    *{f"{name}@street-1" for name in ("labeller", "pseudo_labels", "teacher")},
    *{"pretrain@street-pspnet18-1", "evaluate_network@street-labeller-1", "evaluate_network@street-teacher-1"},
    *{"student@street-pspnet18-tl-1", "student_distilled@street-pspnet18-etc-1"},
    *{"evaluate@street-pspnet18-tl-1", "evaluate_distilled@street-pspnet18-etc-1"},
}


def test_snakemake_runs_every_stage_once_and_dvc_has_nothing_to_do(project, first_run):
    assert first_run.ran == ALL
    project.assert_settled()


def test_dvc_in_a_clone_makes_the_committed_bytes_and_snakemake_has_nothing_to_do(tmp_path, built):
    clone = Project(tmp_path / "clone", built.server)
    # The report would not run: its results are in git, and all that it reads turns out to be the same.
    built.run(f"git clone -q {built.folder} {clone.folder} && cd {clone.folder} && mkdir data && rm -r results/street")
    assert clone.run("etc verify", check=False).code == 2
    made = clone.repro()
    # At toy size the start of the students is the labeller, so that the cache has its files.
    assert made.ran | made.restored == ALL and made.restored <= PRETRAIN
    clone.assert_settled()
    assert clone.contents() == built.contents()
    # Seconds and the like would show here: dvc.lock and results/ are in git.
    assert clone.run("git status --porcelain").text == ""
    assert "Equal: every stage made the committed bytes." in clone.run("etc verify").text


# One key of each parameter file, its new value, and the stages that must run: those of the key, and below them
# those whose inputs really change.
CHANGES = {
    "frames": (
        "frames.yaml",
        "street.disturbance.noise",
        0.1,
        ALL,
    ),
    "labeller": ("labeller.yaml", "street.training.lr", 0.05, ALL - FLOWS - PRETRAIN - {"frames@street"}),
    "pseudo_labels": (
        "pseudo_labels.yaml",
        "street.keep_share",
        0.3,
        ALL - FLOWS - PRETRAIN - {"frames@street", "labeller@street-0", "evaluate_network@street-labeller-0"},
    ),
    "pretrain": ("pretrain.yaml", "street.training.lr", 0.05, PRETRAIN | STUDENTS | EVALUATIONS | {"report@street"}),
    "flow": (
        "flow.yaml",
        # The flow that judges would train everything again (docs/decisions/judging-on-dev.md).
        "street.compare.steps_per_pixel",
        64,
        {"flow@street-compare", *EVALUATIONS, *NETWORKS, "report@street"},
    ),
    "teacher": (
        "teacher.yaml",
        "street.training.lr",
        0.02,
        {
            "teacher@street-0",
            "evaluate_network@street-teacher-0",
            *WITH_TEACHER,
            *(name.replace("student", "evaluate") for name in WITH_TEACHER),
            "report@street",
        },
    ),
    "student": (
        "student.yaml",
        "street.schemes.sf",
        {"sf": 2.0},
        {"student_ablation@street-pspnet18-sf-0", "evaluate_ablation@street-pspnet18-sf-0", "report@street"},
    ),
    "evaluate": ("evaluate.yaml", "street.split", "dev", EVALUATIONS | NETWORKS | {"report@street"}),
    "report": ("report.yaml", "street.confidence", 0.9, {"report@street"}),
    "data": ("experiment.yaml", "seeds", [0, 1], CHAIN | {"report@street"}),
}
# The tools take turns, so that each has to agree with what the other has just done. The walks are short, so that test
# workers can share them. Where much has to run, one tool runs it; the other runs another key of that file, below.
WALKS = [
    ("dvc", "frames", "teacher"),
    ("snakemake", "labeller", "pseudo_labels"),
    ("dvc", "pretrain", "flow", "evaluate"),
    ("snakemake", "student", "report", "data"),
    ("dvc", "student", "report", "data"),
]
# Keys that change nothing that a later stage reads, so that nothing below their stage runs.
CACHE = "street.training.machine.cache_mb"
SMALL_CHANGES = {
    "snakemake": [
        ("frames.yaml", "street.max_offset", 2, {"frames@street"}),
        ("pseudo_labels.yaml", "street.batch", 2, {"pseudo_labels@street-0"}),
        ("pretrain.yaml", CACHE, 50, PRETRAIN),
        ("evaluate.yaml", "street.batch", 2, EVALUATIONS | NETWORKS),
    ],
    "dvc": [
        ("labeller.yaml", CACHE, 50, {"labeller@street-0"}),
        ("teacher.yaml", CACHE, 50, {"teacher@street-0"}),
        ("flow.yaml", "street.train.device", "cpu", {"flow@street-train"}),
    ],
}


@pytest.mark.parametrize("walk", WALKS, ids="-".join)
def test_a_changed_key_runs_exactly_the_affected_stages(project, walk):
    first, *changes = walk
    tools = TOOLS if first == TOOLS[0] else TOOLS[::-1]
    for change, tool in zip(changes, itertools.cycle(tools), strict=False):
        file, key, value, affected = CHANGES[change]
        project.change(file, key, value)
        # DVC names what is changed already, Snakemake what may follow from it as well.
        assert project.due_by_dvc() <= project.due_by_snakemake() == affected
        assert project.tool(tool).ran == affected, f"{change} by {tool}"
    project.assert_settled()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_key_without_effect_runs_its_stages_alone(project, tool):
    """Snakemake cannot know before that nothing comes of it; it asks DVC again before each job."""
    for file, key, value, affected in SMALL_CHANGES[tool]:
        before = project.contents()
        project.change(file, key, value)
        assert project.due_by_dvc() == affected <= project.due_by_snakemake()
        assert project.tool(tool).ran == affected, f"{file}: {key}"
        # There is exact flow to fewer frames now, which nobody asked for.
        if key != "street.max_offset":
            assert project.contents() == before, f"{file}: {key}"
    project.assert_settled()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_comment_in_params_runs_nothing_but_their_check(project, tool):
    for path in (project.folder / "params").glob("*.yaml"):
        path.write_text("# a remark\n" + path.read_text())
    result = project.tool(tool)
    assert "Running stage 'check@params'" in result.text and not result.ran, result.text
    project.assert_settled()


def test_an_edit_of_the_plots_runs_only_the_report(project):
    for tool in TOOLS:
        project.edit("etc/reporting/plots.py", '"""', '"""Edited. ')
        assert project.tool(tool).ran == {"report@street"}
    project.assert_settled()


def test_an_edit_of_a_loss_runs_the_students_and_nothing_above(project):
    project.edit("etc/terms/distillation.py", '"""', '"""Edited. ')
    assert project.due_by_dvc() == STUDENTS <= project.due_by_snakemake()
    # The words of a docstring change no weights, so that nothing below the students runs.
    assert project.snakemake().ran == STUDENTS
    assert project.due_by_dvc() == set()
    # Another loss does, of the students that are distilled with it.
    project.edit("etc/terms/distillation.py", "loss = pixel_wise_divergence(", "loss = 2 * pixel_wise_divergence(")
    below = {name.replace("student", "evaluate") for name in WITH_TEACHER}
    assert project.repro().ran == STUDENTS | below | {"report@street"}
    project.assert_settled()


def test_an_added_seed_can_be_taken_back(project):
    before = project.contents("results")
    project.change("experiment.yaml", "seeds", [0, 1])
    project.snakemake()
    project.change("experiment.yaml", "seeds", [0])
    assert project.repro().ran <= {"report@street"}
    project.assert_settled()
    assert project.contents("results") == before


def test_a_reverted_parameter_is_restored_from_the_cache(project, tmp_path):
    data, results = project.contents(), project.contents("results")
    project.change("student.yaml", "street.schemes.sf", {"sf": 9.0})
    project.snakemake()
    assert project.contents() != data
    project.change("student.yaml", "street.schemes.sf", {"sf": 1.0})
    for tool in TOOLS:
        reverted = project.copy(tmp_path / tool)
        result = reverted.tool(tool)
        # Tables and plots live in git, not in the cache; they are drawn again.
        assert result.ran <= {"report@street"}
        assert "student_ablation@street-pspnet18-sf-0" in result.restored
        assert reverted.contents() == data and reverted.contents("results") == results
        reverted.assert_settled()


@pytest.mark.parametrize("tool", TOOLS)
def test_damaged_outputs_are_noticed_and_remade(project, tool):
    """By their content: it makes no difference whether the date of the file is new as well."""
    expected = project.contents()
    for run, keep_date in (("pspnet18-tl-0", False), ("pspnet18-sf-0", True)):
        path = project.folder / "data/street/students" / run / "weights.safetensors"
        before = path.stat()
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"!?")
        if keep_date:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    project.tool(tool)
    assert project.contents() == expected
    project.assert_settled()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_deleted_frame_is_noticed_and_remade(project, tool):
    expected = project.contents()
    next((project.folder / "data/street/root").rglob("*_leftImg8bit.png")).unlink()
    project.tool(tool)
    assert project.contents() == expected
    project.assert_settled()


def test_an_archive_without_git_works(project, tmp_path):
    shutil.rmtree(project.folder / ".git")
    project.edit("etc/reporting/plots.py", '"""', '"""Edited. ')
    assert project.snakemake().ran == {"report@street"}
    project.assert_settled()
