"""Batch normalisation over all processes."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """Every process's result depends on every process's input, so the gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def sum_over_processes(x: Tensor) -> Tensor:
    """Sum of the tensors of all processes, the same in each; gradients flow back to all. One process: ``x`` itself."""
    return _SumOverProcesses.apply(x) if _several_processes() else x


class AcrossProcesses(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are those of all processes' batches together.

    torch's ``SyncBatchNorm`` runs on GPUs only; this one runs wherever ``all_reduce`` does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; in evaluation mode as ``BatchNorm2d``. Statistics are float32 or better."""
        if not self.training:
            return super().forward(x)
        # Under autocast the maps are bfloat16, which holds no count above 256.
        exact = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        count = exact.new_tensor([exact.numel() / exact.shape[1]])
        sums = sum_over_processes(torch.cat([exact.sum((0, 2, 3)), count]))
        mean = sums[:-1] / sums[-1]
        # Two passes: the difference of two large sums would lose the variance.
        centred = exact - mean.view(1, -1, 1, 1)
        variance = sum_over_processes(centred.square().sum((0, 2, 3))) / sums[-1]
        with torch.no_grad():
            unbiased = variance * (sums[-1] / (sums[-1] - 1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Make a network's batch normalisation use the statistics of all processes; does nothing for one process.

    Args:
        network: changed in place; its weights keep their names.
        device: where the network will run.
    """
    if not _several_processes():
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = AcrossProcesses
    return network


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _all_reduced(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
