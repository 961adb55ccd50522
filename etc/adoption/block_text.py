"""Parameter files as text: a block is copied, values are changed, and every other byte stays as it is.

PyYAML says where a key or a value begins and ends; its own writer would drop all comments.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Keys = tuple[str, ...]
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")


class NotAsTextError(ValueError):
    """The file is written in a way that cannot be edited as text, e.g. with anchors or in braces."""


def with_block(text: str, like: str, name: str, heading: str, values: Mapping[Keys, Any]) -> str:
    """Append a copy of the block ``like`` as block ``name``.

    Args:
        text: of the file; it has a block ``like`` and none called ``name``.
        like: block to copy, with the comments inside it.
        name: of the new block.
        heading: comment above the new block, without ``#``.
        values: what the new block has in place of the copied values, by key path below the block. A key that its
            mapping lacks is put in front of the others.

    Returns:
        The new text; it begins with the old one.

    Raises:
        NotAsTextError: the block cannot be copied, or a value cannot be changed.
    """
    root = _compose(text)
    content = yaml.safe_load(text)
    newline = _newline(text)
    key = next(key for key, _ in reversed(root.value) if key.value == like)
    block = name + text[key.end_mark.index : _block_end(text, root, key)].rstrip("\r\n") + newline
    changed = with_values(block, {(name, *keys): value for keys, value in values.items()})
    end = "" if text.endswith("\n") else newline
    appended = f"{text}{end}{newline}# {heading}{newline}{changed}"
    _expect(appended, {**content, name: _with_replaced(content[like], values)})
    return appended


def with_values(text: str, values: Mapping[Keys, Any]) -> str:
    """Change values; comments stay.

    Args:
        text: of the file.
        values: null, number, text or list, by key path. All but the last key of a path are there.

    Raises:
        NotAsTextError: a value cannot be changed.
    """
    root = _compose(text)
    edits = [_edit(text, root, keys, shown(value)) for keys, value in values.items()]
    changed = text
    # From the end to the beginning, so that places stay valid; what is put in at one place keeps its order.
    for start, end, new in sorted(reversed(edits), key=lambda edit: edit[0], reverse=True):
        changed = changed[:start] + new + changed[end:]
    _expect(changed, _with_replaced(yaml.safe_load(text), values))
    return changed


def shown(value: Any) -> str:
    """A value as YAML on one line. Text that could be taken for something else is quoted, e.g. a checksum of digits."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and yaml.safe_load(value) == value
        return value if plain else "'" + value.replace("'", "''") + "'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    return yaml.safe_dump([value], default_flow_style=True).strip()[1:-1]


def _compose(text: str) -> MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise NotAsTextError(" ".join(str(error).split())) from error
    if not isinstance(root, MappingNode) or root.flow_style:
        raise NotAsTextError("the file is not a list of blocks, each beginning on a line of its own")
    return root


def _block_end(text: str, root: MappingNode, key: ScalarNode) -> int:
    """Where the block of a key ends; comments at the margin after it belong to what follows."""
    later = [one.start_mark.index for one, _ in root.value if one.start_mark.index > key.start_mark.index]
    end = min(later, default=len(text))
    lines = text[key.start_mark.index : end].splitlines(keepends=True)
    while not lines[-1].strip() or lines[-1].startswith("#"):
        end -= len(lines.pop())
    return end


def _edit(text: str, root: MappingNode, keys: Keys, new: str) -> tuple[int, int, str]:
    """Start, end and replacement of what stands at a key path."""
    node: Node = root
    owner: Node = root
    for place, key in enumerate(keys):
        if not isinstance(node, MappingNode):
            raise NotAsTextError(f"key '{'.'.join(keys[:place])}' is not written out as keys and values")
        pair = next((pair for pair in reversed(node.value) if pair[0].value == key), None)
        if pair is None:
            if place + 1 < len(keys):
                raise NotAsTextError(f"key '{'.'.join(keys[: place + 1])}' is not written out in its block")
            return _insertion(text, owner, node, f"{key}: {new}")
        owner, node = pair
        if node.start_mark.index < owner.end_mark.index:
            raise NotAsTextError(f"key '{'.'.join(keys[: place + 1])}' is an alias of what stands elsewhere")
    between = text[owner.end_mark.index : node.start_mark.index]
    if "\n" in between:
        between = ":"
    return owner.end_mark.index, _end(node), f"{between.rstrip()} {new}"


def _insertion(text: str, owner: Node, node: MappingNode, line: str) -> tuple[int, int, str]:
    if node.flow_style:
        place = node.start_mark.index + 1
        return place, place, line + (", " if node.value else "")
    place = text.index("\n", owner.end_mark.index) + 1
    return place, place, " " * node.value[0][0].start_mark.column + line + _newline(text)


def _end(node: Node) -> int:
    """Where a value ends: PyYAML has the end of a list or mapping without brackets at what comes next."""
    if isinstance(node, MappingNode) and not node.flow_style:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style:
        return _end(node.value[-1])
    return node.end_mark.index


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _with_replaced(content: Any, values: Mapping[Keys, Any]) -> Any:
    for (first, *rest), value in values.items():
        new = _with_replaced(content[first], {tuple(rest): value}) if rest else value
        content = {**content, first: new}
    return content


def _expect(text: str, content: Any) -> None:
    """Make sure that the edited text means what it should."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise NotAsTextError(" ".join(str(error).split())) from error
    if found != content:
        raise NotAsTextError("an edited copy would not mean what it should")
