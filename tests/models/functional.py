"""Convolution and normalisation from a state's names alone, to write networks down a second time."""

import torch.nn.functional as F


def norm(state, x, name):
    return F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


def conv(state, x, name, stride=1):
    """Groups and padding follow from the shapes."""
    weight = state[f"{name}.weight"]
    groups = x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2, groups=groups)


def conv_norm(state, x, name, stride=1):
    """Of a sequence whose first two parts these are."""
    return norm(state, conv(state, x, f"{name}.0", stride), f"{name}.1")
