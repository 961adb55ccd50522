"""Two processes with half of the batch each are one process with the whole of it."""

import shutil
import socket

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch

from etc.training.synchronise import AcrossProcesses
from tests.training import toy
from tests.training.children import start, train_together


def train(processes, scheme):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = [start(train_together, scheme, rank, processes, port) for rank in range(processes)]
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    name = f"pspnet18-{scheme}-0"
    weights = safetensors.numpy.load_file(f"data/street/students/{name}/weights.safetensors")
    history = pq.read_table(f"data/street/history/{name}.parquet")
    for path in ("work", "data/street/students", "data/street/history"):
        shutil.rmtree(path)
    return weights, history


@pytest.mark.slow
def test_two_processes_are_one(project):
    """All loss terms at once. The halves of a batch have different numbers of visible pixels and different classes.

    Tolerance 1e-4, relative: float32 sums in another order, over three steps.
    """
    changes = {
        "training.iterations": 3,
        "training.lr": 0.001,
        "training.class_weights": [0.6, 1.2, 0.7, 1.8, 1.0, 1.0, 2.2, 1.4, 1.3],
    }
    toy.write_params(project, "student", changes)
    one, two = train(1, "etc"), train(2, "etc")
    for name in ("ce", "tl", "sf", "pf", "mf", "total"):
        np.testing.assert_allclose(two[1][name].to_numpy(), one[1][name].to_numpy(), rtol=1e-4, err_msg=name)
    for name, value in one[0].items():
        if name.endswith("num_batches_tracked"):
            assert two[0][name] == value
        else:
            assert np.abs(two[0][name] - value).max() < 1e-4 * max(1.0, np.abs(value).max()), name


def test_one_process_normalises_as_torch_does(monkeypatch):
    monkeypatch.setattr("torch.distributed.nn.functional.all_reduce", lambda x: x)
    torch.manual_seed(0)
    plain, own = torch.nn.BatchNorm2d(3), AcrossProcesses(3)
    x = torch.randn(4, 3, 5, 6) * 3 + 2
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    results = [module(one) for module, one in zip((plain, own), inputs, strict=True)]
    for result in results:
        (result * torch.arange(6.0)).sum().backward()
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(one.grad for one in inputs))
    torch.testing.assert_close(plain.state_dict(), own.state_dict())
    torch.testing.assert_close(plain.eval()(x), own.eval()(x))
