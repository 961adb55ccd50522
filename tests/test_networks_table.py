"""The table of networks, and that the documentation holds it."""

from pathlib import Path

import torch
from torch import nn

from etc import networks
from etc.cost import cost
from etc.models.output import Output
from etc.models.registry import ARCHITECTURES

DOCUMENT = Path(__file__).parents[1] / "docs" / "networks.md"


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Conv2d(3, 6, kernel_size=3, stride=2, padding=1, groups=3)
        self.auxiliary = nn.Conv2d(3, 2, kernel_size=1)

    def forward(self, image):
        x = self.classifier(image)
        return Output(x, x, (self.auxiliary(image),) if self.training else ())


def test_cost_of_a_convolution_is_its_closed_form():
    """6 x 4 x 5 outputs, each of 9 pixels of one channel; the auxiliary head does not count."""
    assert cost(Toy(), (8, 10)) == (6 * 9 + 6, 6 * 4 * 5 * 9)
    with torch.device("meta"):
        assert cost(Toy(), (8, 10)) == (60, 1080)


def test_documentation_holds_the_table():
    table = networks.table()
    assert len(table.splitlines()) == 2 + len(ARCHITECTURES)
    assert table in DOCUMENT.read_text(), "docs/networks.md is old: put the output of `etc networks` into it"
