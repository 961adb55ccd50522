"""Names of the networks, to be read without loading torch."""

NETWORKS = ("pspnet18", "pspnet34", "pspnet50", "pspnet101", "mobilenetv2", "hrnet_w18_small", "bisenetv2")
HUGGINGFACE = "hf:"
# Narrower layers met an error of oneDNN, see etc.models.resnet.NarrowProjection.
SMALLEST_WIDTH = 8


def is_huggingface(architecture: str) -> bool:
    """Whether the name means a Hugging Face model: ``hf:`` and its name on the hub or its folder."""
    return architecture.startswith(HUGGINGFACE)


def explain(architecture: str) -> str:
    """The complaint that no network has this name."""
    return (
        f"unknown architecture {architecture!r}; use one of {', '.join(NETWORKS)}, or hf:NAME for a Hugging Face model"
    )
