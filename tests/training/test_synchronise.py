"""Batch normalisation over two real processes, against one process with both halves."""

import socket

import pytest
import torch
import torch.distributed as dist

from etc.training.synchronise import AcrossProcesses, sum_over_processes, synchronise_batch_norm
from tests.training.children import start


def data(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    # Unequal halves: what matters is the number of pixels, not of processes.
    x = 3 * torch.randn(6, 3, 4, 5, generator=generator) + 2
    return x.to(dtype), torch.randn(6, 3, 4, 5, generator=generator)


def half(x, rank):
    return x[:2] if rank == 0 else x[2:]


def normalise(folder, rank, port, dtype):
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    network = synchronise_batch_norm(torch.nn.Sequential(torch.nn.BatchNorm2d(3)), torch.device("cpu"))
    assert type(network[0]) is AcrossProcesses
    x, weights = (half(part, rank) for part in data(dtype))
    x = x.clone().requires_grad_()
    y = network(x)
    (y * weights).sum().backward()
    own = torch.full((2,), float(rank + 1), requires_grad=True)
    total = sum_over_processes(own)
    (total * torch.tensor([1.0, 10.0]) * (rank + 1)).sum().backward()
    saved = {
        "y": y.detach(),
        "gradient": x.grad,
        "state": network[0].state_dict(),
        "own": own.grad,
        "total": total.detach(),
    }
    torch.save(saved, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_processes_normalise_as_one(tmp_path, monkeypatch, dtype):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = [start(normalise, rank, port, dtype) for rank in (0, 1)]
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    saved = [torch.load(f"{rank}.pt") for rank in (0, 1)]
    x, weights = data(dtype)
    x = x.float().requires_grad_()
    plain = torch.nn.BatchNorm2d(3)
    y = plain(x)
    (y * weights).sum().backward()
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    for rank, one in enumerate(saved):
        assert one["y"].dtype == dtype
        torch.testing.assert_close(one["y"].float(), half(y.detach(), rank), **tolerance)
        torch.testing.assert_close(one["gradient"].float(), half(x.grad, rank), **tolerance)
        # The statistics are exact in both: they are made in float32.
        torch.testing.assert_close(one["state"]["running_mean"], plain.running_mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one["state"]["running_var"], plain.running_var, rtol=1e-5, atol=1e-5)
        # 1 + 2, and the derivative of (1 + 2) times that total.
        assert one["total"].tolist() == [3, 3] and one["own"].tolist() == [3, 30]


def test_one_process_is_left_alone():
    x = torch.ones(3)
    assert sum_over_processes(x) is x
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    assert type(synchronise_batch_norm(network, torch.device("cpu"))[0]) is torch.nn.BatchNorm2d
