"""What the engine does around a step: the teacher, loader processes, compiling, the flow, the balance of the terms."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from etc.core.params_file import load_block
from etc.models import registry
from etc.params import student as params
from etc.stages import student
from etc.terms.scheme import build_terms
from etc.training import loop
from etc.training.objective import Objective
from tests.closure import import_closure
from tests.training import toy
from tests.training.test_parts import batch_of

SHIPPED = load_block(toy.ROOT / "params/student.yaml", "street", params.StudentParams)


def weights_of(scheme):
    return Path(f"data/street/students/pspnet18-{scheme}-0/weights.safetensors").read_bytes()


def losses_of(scheme):
    return pq.read_table(f"data/street/history/pspnet18-{scheme}-0.parquet")["total"].to_pylist()


def test_teacher_looks_once_at_each_part_and_gets_no_gradient(project, monkeypatch):
    seen, outputs = [], []
    plain_teach, plain_forward = loop._teach, Objective.forward

    def teach(teacher, *arguments):
        assert not teacher.training and not any(parameter.requires_grad for parameter in teacher.parameters())
        hook = teacher.register_forward_hook(lambda *_: seen.append(1))
        outputs.append(plain_teach(teacher, *arguments))
        hook.remove()
        return outputs[-1]

    def forward(self, batch, teacher, shares):
        assert teacher is outputs[-1]
        assert not any(tensor.requires_grad for output in teacher for tensor in (output.logits, output.features))
        return plain_forward(self, batch, teacher, shares)

    monkeypatch.setattr(loop, "_teach", teach)
    monkeypatch.setattr(Objective, "forward", forward)
    toy.write_params(project, "student", {"training.iterations": 2, "training.accumulate": 2})
    before = Path("data/street/teacher/0/weights.safetensors").read_bytes()
    student.run("street", "pspnet18", "etc", 0)
    assert len(seen) == len(outputs) == 2 * 2
    assert Path("data/street/teacher/0/weights.safetensors").read_bytes() == before


@pytest.mark.slow
def test_loader_processes_change_no_byte(project):
    toy.write_params(project, "student", {"training.iterations": 2})
    student.run("street", "pspnet18", "tl", 0)
    expected = weights_of("tl")
    shutil.rmtree("data/street/students")
    toy.write_params(project, "student", {"training.iterations": 2, "training.machine.workers": 1})
    student.run("street", "pspnet18", "tl", 0)
    assert weights_of("tl") == expected


def test_compiled_student_has_the_losses_of_the_plain_one(project, monkeypatch):
    """Traced and differentiated ahead of time, but run by torch's own operations: generating C++ takes minutes.

    Tolerance 1e-4, relative: the operations may come in another order, over two steps.
    """
    plain, compiled = torch.nn.Module.compile, []

    def compile(self):
        compiled.append(type(self).__name__)
        plain(self, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    losses = []
    for wanted in (False, True):
        toy.write_params(project, "student", {"training.iterations": 2, "training.machine.compile": wanted})
        student.run("street", "pspnet18", "baseline", 0)
        losses.append(losses_of("baseline"))
        # The names of the weights do not tell how they were trained.
        assert b"_orig_mod" not in weights_of("baseline")
    assert compiled == ["PSPNet"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_progress_shows_the_mean_of_the_last_losses():
    history = [[float(step), 0.0] for step in range(50)]
    assert loop._recent_loss(history) == "loss 39.500"
    assert loop._recent_loss([]) == ""


@pytest.mark.parametrize("stage", ["labeller", "teacher", "student"])
def test_no_training_can_compute_flow(stage):
    """Flow is read from files: nothing that a training imports knows how to estimate it."""
    imported = import_closure(toy.ROOT, f"etc/stages/{stage}.py")
    assert not any(path in imported for path in ("etc/flow/methods.py", "etc/stages/flow.py"))
    assert not any("calcOpticalFlow" in text or "DISOpticalFlow" in text for text in map(source, imported))


@pytest.mark.parametrize("stage", ["labeller", "pretrain"])
def test_trainings_with_cross_entropy_alone_do_not_depend_on_the_terms(stage):
    """So a change of a term makes neither of them due, nor the pseudo-labels."""
    imported = import_closure(toy.ROOT, f"etc/stages/{stage}.py")
    assert "etc/training/cross_entropy.py" in imported
    assert not any(path.startswith("etc/terms/") for path in imported)


def source(path):
    return (toy.ROOT / path).read_text()


@pytest.mark.parametrize("scheme", [name for name, terms in SHIPPED.schemes.items() if {"sf", "mf"} <= set(terms)])
def test_mf_of_the_shipped_schemes_is_not_inert(scheme):
    """Weighted as shipped, its gradient on the student's features is within two orders of magnitude of SF's."""
    torch.manual_seed(0)
    small, large = registry.build("pspnet18", 5, 12).train(), registry.build("pspnet18", 5, 16).eval()
    batch, weights = batch_of(4), SHIPPED.schemes[scheme]
    terms = build_terms(weights, SHIPPED.losses)
    with torch.no_grad():
        teacher = [large(images) for images in batch.images]
    outputs = [small(images) for images in batch.images]
    features = [output.features for output in outputs]
    norms = {}
    for name in ("sf", "mf"):
        loss = weights[name] * terms[name](batch, outputs, teacher)
        gradients = torch.autograd.grad(loss, features, retain_graph=True, allow_unused=True)
        norms[name] = sum(g.square().sum() for g in gradients if g is not None).sqrt().item()
    assert 0.01 < norms["mf"] / norms["sf"] < 100, norms
