"""Names of the networks, readable without importing torch."""

_EFFICIENTNET_LITE = tuple(
    f"efficientnet_lite{variant}{stride}" for variant in "012" for stride in ("", "_os16", "_os8")
)
NETWORKS = (
    *("pspnet18", "pspnet34", "pspnet50", "pspnet101", "mobilenetv2", "hrnet_w18_small", "bisenetv2"),
    *_EFFICIENTNET_LITE,
)
# These have ImageNet weights in packages, which training.backbone asks for by the name INSTALLED.
PACKAGED = _EFFICIENTNET_LITE
INSTALLED = "installed"
PACKAGED_WIDTH = 64
HUGGINGFACE = "hf:"
# Narrower layers run into a bug of oneDNN, see etc.models.resnet.NarrowProjection.
SMALLEST_WIDTH, LARGEST_WIDTH = 8, 512


def is_huggingface(architecture: str) -> bool:
    """Whether the name is that of a Hugging Face model: ``hf:`` and a folder or a name on the hub."""
    return architecture.startswith(HUGGINGFACE)


def explain(architecture: str) -> str:
    """The error message for an unknown name."""
    return (
        f"unknown architecture {architecture!r}; use one of {', '.join(NETWORKS)}, or hf:NAME for a Hugging Face model"
    )
