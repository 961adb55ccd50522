"""What differs in the blocks of an adopted data set from those that they are copied from, and what to look at there."""

from collections.abc import Mapping
from typing import Any

from etc.adoption.block_text import Keys
from etc.adoption.networks import Given
from etc.adoption.newcomer import Newcomer

Block = Mapping[str, Any]
Values = dict[Keys, Any]

_TRAINED = (("training", "iterations"), ("training", "augment", "crop"), ("training", "augment", "scale"))
# Keys whose best value depends on the frames, by file. What a block lacks is left out.
_LOOK_AT: dict[str, tuple[Keys, ...]] = {
    "labeller.yaml": _TRAINED,
    "pretrain.yaml": _TRAINED,
    "pseudo_labels.yaml": (("scales",), ("stride",)),
    "flow.yaml": tuple((use, key) for use in ("train", "evaluate", "compare") for key in ("method", "path")),
    "teacher.yaml": (*_TRAINED, ("sampling", "pseudo_share")),
    "student.yaml": (*_TRAINED, ("sampling", "pseudo_share")),
    "evaluate.yaml": (("split",), ("sample", "share")),
}


def changes(file: str, block: Block, newcomer: Newcomer) -> Values:
    """Values that must be others than in the copied block.

    Args:
        file: name of the parameter file, e.g. ``flow.yaml``.
        block: the copied block.
        newcomer: the data set that gets it.
    """
    wanted: Values = {}
    given = newcomer.networks
    if file == "labeller.yaml" and given:
        wanted |= _taken(given.labeller)
    if file == "pretrain.yaml" and given:
        wanted |= _taken(given.start)
    if "training" in block and not newcomer.weighs:
        wanted |= {("training", "class_weights"): None}
    if "sampling" in block and not newcomer.labelled:
        wanted |= {("sampling", "pseudo_share"): 1.0}
    if file == "pseudo_labels.yaml" and newcomer.spacing > 1 and block["stride"] % newcomer.spacing == 0:
        # Where every frame has a label, a multiple would meet none but those that training uses as they are.
        wanted |= {("stride",): 1}
    if file == "flow.yaml" and newcomer.source != "street":
        wanted |= _estimated(block)
    if file == "evaluate.yaml":
        clips = block.get("sample", {}).get("clips")
        # Names of clips are those of the other data set.
        if clips is not None and (clips, newcomer.source) != ("cityscapes_tc", "cityscapes"):
            wanted |= {("sample", "clips"): None}
    return {keys: value for keys, value in wanted.items() if _get(block, keys) != value}


def look_at(file: str, block: Block, changed: Values) -> Values:
    """Values that are kept though the best choice depends on the frames.

    Args:
        file: name of the parameter file.
        block: the copied block.
        changed: values that it gets.
    """
    if changed.get(("checkpoint",)):
        # The network is taken as it is: the other keys have no effect.
        return {}
    found = {keys: _get(block, keys) for keys in _LOOK_AT.get(file, ())}
    return {keys: value for keys, value in found.items() if value is not None and keys not in changed}


def _taken(network: Given) -> Values:
    return {("checkpoint",): network.checkpoint, ("checksum",): network.checksum}


def _estimated(block: Block) -> Values:
    """Only rendered frames have exact flow. Two methods are taken, so that the judge is not the one trained with."""
    train = "dis" if block["train"]["method"] == "exact" else block["train"]["method"]
    wanted: Values = {}
    for use, one in block.items():
        if one["method"] == "exact":
            judge = "dis" if train == "farneback" else "farneback"
            wanted[use, "method"] = judge if use == "evaluate" else "dis"
        if one["visibility"] == "exact":
            wanted[use, "visibility"] = "forward_backward"
    return wanted


def _get(block: Block, keys: Keys) -> Any:
    value: Any = block
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
