"""The optimiser and its learning rate."""

import math

import torch

from etc.params.training import TrainingParams
from etc.training.objective import Objective


def learning_rate(step: int, iterations: int, params: TrainingParams) -> float:
    """Rate of the backbone at a step: it falls from ``params.lr`` towards 0, after an optional linear rise.

    ``polynomial``: ``lr * (1 - step / iterations) ** power``, power 0.9 in Liu et al., ECCV 2020. ``cosine``:
    ``lr * (1 + cos(pi * step / iterations)) / 2`` (Loshchilov and Hutter, ICLR 2017, without restarts).

    Args:
        step: number of the step, 0 to ``iterations - 1``.
        iterations: total number of steps.
        params: rate, schedule, and the steps over which the rate first rises to the falling curve.
    """
    if params.schedule == "cosine":
        falling = params.lr * (1 + math.cos(math.pi * step / iterations)) / 2
    else:
        falling = params.lr * (1 - step / iterations) ** params.power
    return falling * min(1.0, (step + 1) / (params.warmup + 1))


def make_optimiser(objective: Objective, params: TrainingParams) -> torch.optim.Optimizer:
    """Three groups: the backbone; the student's other layers; the weights of the terms, without decay."""
    backbone = list(objective.student.backbone.parameters())
    known = {id(parameter) for parameter in backbone}
    head = [parameter for parameter in objective.student.parameters() if id(parameter) not in known]
    groups = [
        {"params": backbone, "lr_factor": 1.0},
        {"params": head, "lr_factor": params.head_lr_factor},
        {"params": list(objective.terms.parameters()), "lr_factor": params.head_lr_factor, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if params.optimiser == "adamw":
        # Fused, because torch.sqrt of the other forms is MKL's on CPUs (docs/decisions/portable-bits.md).
        return torch.optim.AdamW(groups, lr=params.lr, betas=(0.9, 0.999), weight_decay=params.weight_decay, fused=True)
    return torch.optim.SGD(groups, lr=params.lr, momentum=params.momentum, weight_decay=params.weight_decay)
