"""The three training stages, from their parameter files to their outputs, on a toy data set."""

import json
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate.state import AcceleratorState

from etc.core.errors import UserError
from etc.models import registry, weights
from etc.stages import labeller, pretrain, student, teacher
from tests.models.build import shake
from tests.training import toy

STUDENTS = Path("data/street/students")
ASSET = Path(__file__).parent / "assets" / "expected_losses.json"


def outputs(name, folder=None):
    """Bytes of everything that must be the same in an equal run."""
    folder = folder or STUDENTS / name
    paths = [folder / weights.WEIGHTS, folder / weights.CONFIG, Path(f"data/street/history/{name}.parquet")]
    return [path.read_bytes() for path in paths]


def history(name):
    return pq.read_table(f"data/street/history/{name}.parquet")


def test_labeller_needs_annotated_frames_only(project):
    shutil.rmtree("data/street/flow")
    Path("data/street/pseudo_labels/0/labels.parquet").unlink()
    assert "data/street/labeller/0" in labeller.run("street", 0)
    network, config = weights.load("data/street/labeller/0")
    assert config["classes"] == 9 and config["terms"] == {}
    timing = json.loads(Path("data/street/labeller/0/timing.json").read_text())
    assert timing["iterations"] == 6 and timing["train_seconds"] > 0
    assert {path.name for path in Path("data/street/labeller/0").iterdir()} == {
        "weights.safetensors",
        "config.json",
        "timing.json",
    }
    assert not list(Path("work/street/labeller-0").glob("*.pt"))


def test_teacher_trains_with_tl(project):
    teacher.run("street", 0)
    table = history("teacher-0")
    assert table.column_names == ["step", "lr", "total", "ce", "tl", "sf", "pf", "mf"]
    assert set(map(str, table.schema.types)) == {"double"}
    assert table["sf"].null_count == 6 and table["tl"].null_count == 0
    for row in table.to_pylist():
        assert row["total"] == pytest.approx(row["ce"] + toy.TERMS["tl"] * row["tl"], rel=1e-5)


def test_baseline_reads_neither_teacher_nor_flow(project):
    shutil.rmtree("data/street/flow")
    shutil.rmtree("data/street/teacher")
    student.run("street", "pspnet18", "baseline", 0)
    assert history("pspnet18-baseline-0")["step"].to_pylist() == [0, 1, 2, 3, 4, 5]


def test_tl_reads_no_teacher_and_sf_no_flow(project):
    shutil.move("data/street/teacher", "teacher")
    student.run("street", "pspnet18", "tl", 0)
    shutil.move("teacher", "data/street/teacher")
    shutil.rmtree("data/street/flow")
    student.run("street", "pspnet18", "sf_mf", 0)
    with pytest.raises(UserError, match="flow/train: no flow; run the stage 'flow'"):
        student.run("street", "pspnet18", "tl", 1)
    shutil.rmtree("data/street/teacher")
    with pytest.raises(UserError, match="teacher/0/weights.safetensors: .*; run: etc teacher street --seed 0,"):
        student.run("street", "pspnet18", "sf", 0)


def test_two_runs_give_the_same_bytes_and_another_seed_others(project):
    student.run("street", "pspnet18", "etc", 0)
    first = outputs("pspnet18-etc-0")
    shutil.rmtree(STUDENTS)
    student.run("street", "pspnet18", "etc", 0)
    assert outputs("pspnet18-etc-0") == first
    # Of the same teacher, so that the seed alone makes the difference.
    shutil.copytree("data/street/teacher/0", "data/street/teacher/1")
    student.run("street", "pspnet18", "etc", 1)
    assert outputs("pspnet18-etc-1")[0] != first[0]


def test_another_clock_and_date_change_no_declared_file(project, monkeypatch):
    student.run("street", "pspnet18", "etc", 0)
    made = outputs("pspnet18-etc-0")
    timing = STUDENTS / "pspnet18-etc-0" / "timing.json"
    first, plain = timing.read_bytes(), time.perf_counter
    for name, clock in (("perf_counter", lambda: 1000 * plain()), ("time", lambda: 0.0), ("time_ns", lambda: 0)):
        monkeypatch.setattr(time, name, clock)
    student.run("street", "pspnet18", "etc", 0)
    assert outputs("pspnet18-etc-0") == made
    assert timing.read_bytes() != first
    assert json.loads(timing.read_text())["weights_sha256"] == json.loads(made[1])["weights_sha256"]


def test_no_stage_declares_what_a_clock_says():
    for name in ("dvc.yaml", "dvc.lock"):
        assert "timing" not in (toy.ROOT / name).read_text()
    for path in sorted((toy.ROOT / "results").rglob("*.csv")):
        assert "seconds" not in path.read_text(), path


def test_keys_of_the_machine_that_change_nothing(project):
    student.run("street", "pspnet18", "tl", 0)
    first = outputs("pspnet18-tl-0")
    machine = {"training.machine.cache_mb": 0, "training.machine.checkpoint_every": 100}
    toy.write_params(project, "student", machine)
    student.run("street", "pspnet18", "tl", 0)
    assert outputs("pspnet18-tl-0") == first


def test_without_pseudo_labels(project):
    Path("data/street/pseudo_labels/0/labels.parquet").unlink()
    with pytest.raises(UserError, match="pseudo_labels/0/labels.parquet: no such file"):
        student.run("street", "pspnet18", "baseline", 0)
    toy.write_params(project, "student", {"sampling.pseudo_share": 0.0})
    student.run("street", "pspnet18", "baseline", 0)
    # One scheme alone may have another share.
    toy.write_params(project, "student", {"sampling.pseudo_share": 0.0, "pseudo_shares": {"tl": 0.5}})
    student.run("street", "pspnet18", "baseline", 1)
    with pytest.raises(UserError, match="pseudo_labels/0/labels.parquet: no such file"):
        student.run("street", "pspnet18", "tl", 0)


def test_history_averages_and_a_scheme_may_train_longer(project):
    toy.write_params(
        project,
        "student",
        {"training.history_every": 4, "schemes.longer": {}, "iterations_factor": {"longer": 1.5}},
    )
    student.run("street", "pspnet18", "longer", 0)
    coarse = history("pspnet18-longer-0")
    assert coarse["step"].to_pylist() == [3, 7, 8]
    shutil.rmtree("work")
    toy.write_params(project, "student", {"schemes.longer": {}, "iterations_factor": {"longer": 1.5}})
    student.run("street", "pspnet18", "longer", 0)
    fine = history("pspnet18-longer-0")["ce"].to_pylist()
    assert coarse["ce"].to_pylist() == pytest.approx([sum(fine[:4]) / 4, sum(fine[4:8]) / 4, fine[8]])


def test_cut_batches_train_and_precision_can_be_lowered(project):
    losses = []
    for precision in ("fp32", "bf16"):
        AcceleratorState._reset_state(reset_partial_state=True)
        toy.write_params(project, "student", {"training.accumulate": 2, "training.machine.precision": precision})
        student.run("street", "pspnet18", "etc", 0)
        losses.append(history("pspnet18-etc-0")["total"].to_pylist())
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_samples_changed_on_the_device_train_alike(project):
    losses = []
    for where in ("loader", "device"):
        toy.write_params(project, "student", {"training.machine.augment_on": where, "training.lr": 0.002})
        student.run("street", "pspnet18", "etc", 0)
        losses.append(history("pspnet18-etc-0")["total"].to_pylist())
    assert losses[0] != losses[1], "the same bits: the device did nothing"
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_losses_are_those_committed(project):
    """A refactor must not change what a training computes.

    The rate is low, so that the rounding of another CPU's kernels does not grow from step to step; the tolerances are
    above what oneDNN's and torch's own convolutions differ by.
    """
    expected = json.loads(ASSET.read_text())
    toy.write_params(project, "student", {"training.iterations": 20, "training.lr": 0.002})
    student.run("street", "pspnet18", "etc", 0)
    table = history("pspnet18-etc-0")
    for name, values in expected["losses"].items():
        assert table[name].to_pylist() == pytest.approx(values, rel=expected["relative_tolerance"][name]), name


def test_loss_that_is_not_finite_stops_with_step_term_and_frames(project, monkeypatch):
    from etc.terms.motion import MotionTerm

    plain, calls = MotionTerm.forward, []

    def diverging(self, *arguments):
        calls.append(1)
        return plain(self, *arguments) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(MotionTerm, "forward", diverging)
    with pytest.raises(UserError) as error:
        student.run("street", "pspnet18", "tl", 0)
    message = str(error.value)
    assert message.startswith("step 4: loss tl is not a finite number, on the frames street_00000")
    assert message.count("street_00000") == 4 and "\n" not in message
    state = torch.load("work/street/pspnet18-tl-0/checkpoint.pt")["state"]
    assert state["step"] == 4
    assert all(value.isfinite().all() for value in state["objective"].values())
    assert not (STUDENTS / "pspnet18-tl-0").exists()


def test_weights_that_are_not_finite_do_not_reach_a_checkpoint(project, monkeypatch):
    plain = torch.optim.SGD.step
    calls = []

    def overflowing(self, *arguments, **keywords):
        plain(self, *arguments, **keywords)
        calls.append(1)
        if len(calls) == 4:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(float("inf"))

    monkeypatch.setattr(torch.optim.SGD, "step", overflowing)
    with pytest.raises(UserError, match=r"step 3: weight student\.backbone\.conv1\.weight is not finite"):
        student.run("street", "pspnet18", "baseline", 0)
    assert torch.load("work/street/pspnet18-baseline-0/checkpoint.pt")["state"]["step"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("street", "pspnet18", "nothing", 0), "no scheme 'nothing'; known: baseline, tl"),
        (("street", "resnext", "tl", 0), "no width for 'resnext'"),
        (("street", "pspnet18", "tl", -1), "seed -1"),
        (("camvid", "pspnet18", "tl", 0), "no block for data set 'camvid'"),
    ],
)
def test_wrong_names_are_named(project, arguments, message):
    with pytest.raises(UserError, match=message):
        student.run(*arguments)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.class_weights", [1.0, 2.0], "give one for each of the 9 classes road"),
        ("training.backbone", "resnet18.pth", "resnet18.pth: no such file"),
        (
            "training.freeze_bn",
            True,
            "freeze_bn is true, but the backbone has random weights, .*'training.backbone' or 'start'",
        ),
        ("training.backbone", "installed", "no package has weights of pspnet18; give the path of a file"),
        ("training.machine.device", "cuda", "finds no GPU"),
        ("training.machine.precision", "fp16", "needs a GPU"),
        ("training.accumulate", 3, "student.yaml: key 'street.training': batch 4 cannot be cut into 3 equal parts$"),
        ("training.warmup", 6, "student.yaml: key 'street.training': warmup 6 must be shorter than the 6 iterations$"),
    ],
)
def test_settings_that_cannot_work_are_named(project, key, value, message):
    if key.startswith("training.machine") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    toy.write_params(project, "student", {key: value})
    with pytest.raises(UserError, match=message):
        student.run("street", "pspnet18", "baseline", 0)


def test_weights_of_a_backbone_are_taken(project):
    torch.manual_seed(5)
    backbone = registry.build("pspnet18", 9, toy.WIDTH).backbone
    torch.save(backbone.state_dict(), "backbone.pth")
    rate = {"training.lr": 1e-9, "training.backbone": "backbone.pth"}
    toy.write_params(project, "student", rate)
    student.run("street", "pspnet18", "baseline", 0)
    network, _ = weights.load("data/street/students/pspnet18-baseline-0")
    torch.testing.assert_close(network.backbone.conv1.weight, backbone.conv1.weight)


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_of_a_backbone_are_kept_where_asked(project, frozen):
    """Its weights learn, and the statistics of the head follow its maps."""
    backbone = registry.build("pspnet18", 9, toy.WIDTH).backbone
    torch.save(shake(backbone).state_dict(), "backbone.pth")
    toy.write_params(project, "student", {"training.backbone": "backbone.pth", "training.freeze_bn": frozen})
    student.run("street", "pspnet18", "baseline", 0)
    network, _ = weights.load("data/street/students/pspnet18-baseline-0")
    before, after = backbone.state_dict(), network.backbone.state_dict()
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert statistics and all(torch.equal(before[name], after[name]) == frozen for name in statistics)
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert network.bottleneck[1].num_batches_tracked > 0


@pytest.mark.parametrize("scheme", ["baseline", "tl"])
def test_students_start_from_the_pretrained_network_of_their_chain(project, scheme):
    """With a rate of nearly zero, the weights stay those of the start; those of another chain differ."""
    with pytest.raises(UserError, match=r"pretrained/pspnet18-0/weights.safetensors: no such file"):
        toy.write_params(project, "student", {"start": "pretrained"})
        student.run("street", "pspnet18", scheme, 0)
    toy.write_params(project, "student", {"start": "pretrained", "training.lr": 1e-9})
    starts = []
    for seed in (0, 1):
        assert f"data/street/pretrained/pspnet18-{seed}" in pretrain.run("street", "pspnet18", seed)
        assert history(f"pretrained-pspnet18-{seed}")["tl"].null_count == 6
        start, _ = weights.load(f"data/street/pretrained/pspnet18-{seed}")
        student.run("street", "pspnet18", scheme, seed)
        network, _ = weights.load(STUDENTS / f"pspnet18-{scheme}-{seed}")
        for (name, one), other in zip(network.named_parameters(), start.parameters(), strict=True):
            torch.testing.assert_close(one, other, msg=name)
        starts.append(start.backbone.conv1.weight)
    assert not torch.equal(*starts)


def write_judged(name, *dev_miou):
    """A history whose rows were judged; without values, one that was not."""
    columns = {"step": [float(step) for step in range(max(1, len(dev_miou)))]}
    if dev_miou:
        columns["dev_miou"] = pa.array(dev_miou, pa.float64())
    Path("data/street/history").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), f"data/street/history/{name}.parquet")


@pytest.mark.parametrize(
    ("teacher_dev", "start_dev", "scheme", "warned"),
    [
        ((70.0, None, 60.25, None), (50.0, 61.5), "sf", True),
        ((60.25,), (61.5,), "tl", False),
        ((61.5,), (61.5,), "sf", False),
        ((), (61.5,), "sf", False),
        ((60.25,), (None,), "sf", False),
    ],
)
def test_a_teacher_that_is_worse_than_the_start_is_said(project, capsys, teacher_dev, start_dev, scheme, warned):
    toy.write_params(project, "pretrain", {"training.iterations": 1})
    pretrain.run("street", "pspnet18", 0)
    write_judged("teacher-0", *teacher_dev)
    write_judged("pretrained-pspnet18-0", *start_dev)
    toy.write_params(project, "student", {"start": "pretrained", "training.iterations": 1})
    capsys.readouterr()
    student.run("street", "pspnet18", scheme, 0)
    said = [line for line in capsys.readouterr().err.splitlines() if "teacher" in line]
    assert len(said) == warned
    if warned:
        assert "teacher has 60.25 mIoU on dev, less than the 61.50 of" in said[0] and "longer" in said[0]


def test_teacher_starts_from_the_labeller_of_its_chain(project):
    labeller.run("street", 0)
    start, _ = weights.load("data/street/labeller/0")
    toy.write_params(project, "teacher", {"start": "labeller", "training.lr": 1e-9})
    teacher.run("street", 0)
    network, _ = weights.load("data/street/teacher/0")
    torch.testing.assert_close(network.backbone.conv1.weight, start.backbone.conv1.weight)
    toy.write_params(project, "teacher", {"start": "labeller", "network.width": 12})
    with pytest.raises(UserError, match=r"labeller/0/weights.safetensors: weights do not fit .*check architecture"):
        teacher.run("street", 0)
    with pytest.raises(UserError, match=r"labeller/1/weights.safetensors: no such file"):
        teacher.run("street", 1)


def test_teacher_of_other_classes_is_refused(project):
    path = Path("data/street/teacher/0/config.json")
    config = json.loads(path.read_text())
    config["class_names"][0] = "water"
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="trained on the classes water"):
        student.run("street", "pspnet18", "sf", 0)
