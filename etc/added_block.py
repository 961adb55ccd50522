"""The text of a parameter file with one more block, or with other values in a list.

The rest of the text stays as it is; loaded and dumped, it would lose its comments and its aliases.
"""

import copy
import functools
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from etc.core.errors import UserError
from etc.core.params_file import parse

Keys = tuple[str, ...]
Values = dict[Keys, Any]


class _Loader(yaml.SafeLoader):
    """Keeps an alias, e.g. ``*training``, as a scalar with the tag ``alias``."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            return yaml.ScalarNode("alias", self.get_event().anchor)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Writes what ``_Loader`` has kept as aliases again."""

    def serialize_node(self, node: yaml.Node, parent: Any, index: Any) -> None:
        if node.tag == "alias":
            self.emit(yaml.AliasEvent(node.value))
        else:
            super().serialize_node(node, parent, index)


def with_block(path: Path, text: str, like: str, name: str, values: Values) -> str:
    """The text of a file and, below it, a copy of block ``like`` as block ``name`` with other values.

    Args:
        path: of the file, for messages.
        text: what the file holds; it stays as it is, with its comments and line ends.
        like: name of the block to copy.
        name: name of the new block.
        values: those that differ, by their keys from the outermost in.

    Raises:
        UserError: the copied block has only an alias where a value is to change, or the new text would not read as
            the old one with this block.
    """
    content = parse(text, path)
    expected = copy.deepcopy(content[like])
    root = yaml.compose(text, _Loader)
    root.value = [(yaml.compose(name), node) for key, node in root.value if key.value == like]
    for keys, value in values.items():
        _set(path, like, root.value[-1][1], keys, value)
        functools.reduce(operator.getitem, keys[:-1], expected)[keys[-1]] = value
    block = f"\n# Like {like}, by `etc adopt`.\n{yaml.serialize(root, Dumper=_Dumper, width=120, allow_unicode=True)}"
    if not text.endswith("\n"):
        block = "\n" + block
    new = text + (block.replace("\n", "\r\n") if "\r\n" in text else block)
    try:
        found = parse(new, path)
    except UserError:
        found = None
    if found != {**content, name: expected}:
        raise UserError(f"{path}: cannot be extended automatically; add block '{name}' by hand")
    return new


def with_list(text: str, name: str, values: Sequence[str]) -> str:
    """The text of params/experiment.yaml with other values in the list ``name``, written in one line."""
    key, old = next(pair for pair in yaml.compose(text).value if pair[0].value == name)
    end = old.end_mark.index if old.flow_style else old.value[-1].end_mark.index
    if "#" in text[key.end_mark.index : end]:
        raise UserError(
            f"params/experiment.yaml: the list '{name}' has comments, which would be lost; write [{', '.join(values)}] "
            "there yourself"
        )
    return f"{text[: key.end_mark.index]}: [{', '.join(values)}]{text[end:]}"


def _set(path: Path, like: str, block: yaml.MappingNode, keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        block = {one.value: inner for one, inner in block.value}.get(key)
        if not isinstance(block, yaml.MappingNode):
            raise UserError(
                f"{path}: block '{like}' has no mapping '{key}' of its own to copy; write `{key}: {{<<: *{key}}}` there"
            )
    pairs = {key.value: (key, inner) for key, inner in block.value}
    written = yaml.compose(yaml.safe_dump(value))
    if isinstance(value, str):
        # PyYAML does not know that checksums such as 12345678e901 are numbers in YAML 1.2.
        written.style = '"'
    pairs[keys[-1]] = yaml.compose(keys[-1]), written
    block.value = list(pairs.values())
