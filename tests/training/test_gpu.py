"""Training and prediction on a GPU, against a CPU and against themselves. Skipped where there is no GPU.

cuDNN may round the inputs of convolutions to TF32 by torch's default; the comparisons with the CPU forbid it.
"""

import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate.state import AcceleratorState

from etc.core.errors import UserError
from etc.inference import SegmentAveraged, predict
from etc.models.fused import fused
from etc.models.memory import advising
from etc.models.registry import ARCHITECTURES, build
from etc.stages import student
from tests.training import toy
from tests.training.children import ARGUMENTS, start, train_and_die

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
NAME = "pspnet18-etc-0"
GPU = torch.device("cuda")
CPU = torch.device("cpu")
# cuBLAS reads this when it starts, whichever test comes first.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture
def full_precision(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def no_dropout(monkeypatch):
    """The CPU, the GPU and the compiler draw different numbers from the same seed."""
    monkeypatch.setattr(torch.nn.Dropout2d, "forward", lambda self, x: x)


def trained(project, device="cuda", **machine):
    """Train the toy student with all terms, and return its losses, (steps,) each, and the bytes of its weights."""
    changes = {f"training.machine.{key}": value for key, value in {"device": device, **machine}.items()}
    toy.write_params(project, "student", changes)
    # Accelerate keeps the device and the number format of a process's first training.
    AcceleratorState._reset_state(reset_partial_state=True)
    with warnings.catch_warnings():
        # torch warns of operations that have no deterministic form on a GPU.
        warnings.filterwarnings("error", message=".*determinis.*")
        student.run(*ARGUMENTS)
    weights = Path(f"data/street/students/{NAME}/weights.safetensors")
    history = pq.read_table(f"data/street/history/{NAME}.parquet").to_pandas()
    content = weights.read_bytes()
    weights.unlink()
    return history, content


def relative(one, other):
    """Largest relative difference of the losses of the first step, and of all steps."""
    terms = ["ce", "tl", "sf", "pf", "mf", "total"]
    change = ((one[terms] - other[terms]).abs() / other[terms].abs()).to_numpy()
    print(f"first step {change[0].max():.1e}, all steps {change.max():.1e}")
    return change[0].max(), change.max()


def test_losses_are_those_of_a_cpu(project, full_precision, no_dropout):
    one, _ = trained(project)
    other, _ = trained(project, "cpu")
    first, all_steps = relative(one, other)
    assert first < 1e-3 and all_steps < 5e-2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_comes_close(project, precision, no_dropout):
    one, _ = trained(project, precision=precision)
    other, _ = trained(project)
    # Later steps of a network this small amplify the rounding.
    first, _ = relative(one, other)
    assert first < 0.02


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_bytes_twice(project, precision):
    one, other = (trained(project, precision=precision)[1] for _ in range(2))
    assert one == other


def test_compiled_training_comes_close(project, full_precision, no_dropout):
    one, _ = trained(project, compile=True)
    torch._dynamo.reset()
    other, _ = trained(project)
    first, all_steps = relative(one, other)
    assert first < 1e-3 and all_steps < 5e-2


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_changed_on_the_gpu_train_alike(project, full_precision, no_dropout, workers):
    one, _ = trained(project, augment_on="device", workers=workers)
    other, _ = trained(project)
    first, all_steps = relative(one, other)
    assert first < 1e-3 and all_steps < 5e-2


def test_killed_and_started_again_the_bytes_are_the_same(project):
    _, expected = trained(project)
    for words in (("step", 4), ("checkpoint", 1)):
        process = start(train_and_die, *words)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, words
    assert Path("work/street", NAME, "checkpoint.pt").exists()
    assert trained(project)[1] == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_predicts_as_on_a_cpu(architecture, full_precision):
    torch.manual_seed(0)
    network = build(architecture, 5, 16).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3)).astype(np.uint8)
    with torch.inference_mode():
        averaged, pixels = SegmentAveraged(network, (1.0, 0.75), flip=True), torch.from_numpy(images)
        expected, _ = averaged.probabilities(pixels)
        classes = predict(network, images, 1)
        network.to(GPU)
        there, _ = averaged.probabilities(pixels.to(GPU))
        torch.testing.assert_close(there.cpu(), expected, rtol=0, atol=1e-4)
    assert (predict(network, images, 2) == classes).mean() > 0.999
    assert (predict(fused(network), images, 2) == classes).mean() > 0.999


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_has_a_deterministic_backward_pass(architecture):
    network = build(architecture, 5, 16).train().to(GPU, memory_format=torch.channels_last)
    image = torch.rand(2, 3, 65, 97, device=GPU)
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        output = network(image)
        sum(x.square().mean() for x in (output.logits, *output.auxiliary)).backward()
    finally:
        torch.set_deterministic_debug_mode(before)


def test_memory_of_the_gpu_is_named():
    with (
        pytest.raises(UserError, match="^the GPU has too little memory: lower 'batch'$"),
        advising("lower 'batch'"),
    ):
        torch.empty(2**45, device=GPU)
