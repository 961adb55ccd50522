"""Batch normalisation over all processes."""

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as collective
from torch import Tensor, nn


class AcrossProcesses(nn.BatchNorm2d):
    """Batch normalisation whose mean and variance are those of all processes' batches together.

    torch's ``SyncBatchNorm`` runs on GPUs only; this one runs wherever ``all_reduce`` does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; in evaluation mode as ``BatchNorm2d``."""
        if not self.training:
            return super().forward(x)
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = torch.cat([x.sum((0, 2, 3)), count])
        sums = collective.all_reduce(sums)
        mean = sums[:-1] / sums[-1]
        # Two passes: the difference of two large sums would lose the variance.
        centred = x - mean.view(1, -1, 1, 1)
        variance = collective.all_reduce(centred.square().sum((0, 2, 3))) / sums[-1]
        with torch.no_grad():
            unbiased = variance * (sums[-1] / (sums[-1] - 1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Have a network's batch normalisation use the statistics of all processes; does nothing for one process.

    Args:
        network: changed in place; the names of its weights stay.
        device: where it will run.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = AcrossProcesses
    return network
