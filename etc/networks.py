"""The table of networks and their costs."""

import torch

from etc.cost import cost
from etc.models.registry import ARCHITECTURES, build

CLASSES = 19
SIZE = (1024, 2048)


def table() -> str:
    """All networks as a Markdown table, at their published width, with 19 classes and images of 1024 x 2048 pixels."""
    lines = [
        "| name | network | output stride | parameters, M | GMAC | ImageNet weights for the backbone |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for name, architecture in ARCHITECTURES.items():
        with torch.device("meta"):
            network = build(name, CLASSES)
        parameters, operations = cost(network, SIZE)
        cells = [
            f"`{name}`",
            architecture.description,
            str(architecture.stride),
            f"{parameters / 1e6:.2f}",
            f"{operations / 1e9:.1f}",
            architecture.backbone_weights or "none: trained from random weights",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
