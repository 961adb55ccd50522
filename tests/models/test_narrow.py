"""Training networks of few channels: what works around an error of oneDNN must compute what the plain layer does."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from etc.models.registry import build
from etc.models.resnet import NarrowProjection

# In a process of its own: with a plain convolution it dies by SIGSEGV or SIGABRT on processors with AVX2.
TRAIN = """
import torch
from etc.models.resnet import NarrowProjection
torch.set_num_threads(1)
layer = NarrowProjection(4, 8, kernel_size=1, stride=2, bias=False).to(memory_format=torch.channels_last)
for _ in range(60):
    x = torch.rand(4, 4, 8, 12).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer(x).square().mean().backward()
"""


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 12), (7, 11), (1, 1)])
def test_strided_projection_is_the_plain_convolution(size, stride):
    torch.manual_seed(0)
    narrow = NarrowProjection(4, 8, kernel_size=1, stride=stride, bias=False).double()
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(x, narrow.weight, stride=stride)
    torch.testing.assert_close(narrow(x), expected)
    weights = torch.randn_like(expected)
    one, other = (torch.autograd.grad((y * weights).sum(), (x, narrow.weight)) for y in (narrow(x), expected))
    torch.testing.assert_close(one, other)


def test_narrow_layers_train_with_channels_last():
    assert subprocess.run([sys.executable, "-c", TRAIN]).returncode == 0


@pytest.mark.parametrize("width", [8, 12])
def test_gradients_of_both_memory_layouts_agree(width):
    torch.manual_seed(0)
    network, image = build("pspnet18", 5, width).eval(), torch.rand(2, 3, 32, 48)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=layout).zero_grad()
        network(image.contiguous(memory_format=layout)).logits.square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())
