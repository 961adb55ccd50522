"""Reading one parameter file: typed, and every complaint names the file, the key, the value and what is allowed."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from etc.core.errors import UserError, first_line
from etc.core.files import read_text
from etc.core.names import check_name

DIRECTORY = Path("params")
# Blocks whose names begin like this hold what data sets share and are not data sets.
_SHARED = "."
# Far above what anybody writes: a file with deeper nesting would crash a reader, one with more values (a few lines of
# aliases of aliases are enough) would never be read to its end.
_MOST_LEVELS, _MOST_VALUES = 50, 200_000
# Longer values are shortened in messages.
_SHOWN = 200


class Params(BaseModel):
    """Base of all parameter blocks: unknown keys are errors, values cannot be changed after loading.

    Values have the type that YAML gives them: true is not 1, 1.0 no whole number, "3" no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _whole(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


# For Literal[1, 2], which takes true and 1.0 for 1.
WholeNumber = BeforeValidator(_whole)
# For tuples: YAML has only lists.
FromList = Strict(False)


Block = TypeVar("Block", bound=BaseModel)


def load_file(path: Path, model: type[Block]) -> Block:
    """Read a parameter file that has no block per data set.

    Raises:
        UserError: the file is missing, is not YAML, or a key is unknown, missing, of the wrong type or out of range.
    """
    return _validated(path, "", _read(path), model)


def load_block(path: Path, dataset: str, model: type[Block]) -> Block:
    """Read the block of one data set from a parameter file.

    Args:
        path: the file, e.g. ``params/student.yaml``.
        dataset: name of the block, e.g. ``street``.
        model: the pydantic model of the block.

    Raises:
        UserError: as for :func:`load_file`, or the file has no block for this data set.
    """
    path = Path(path)
    return _validated(path, dataset, _block(path, dataset), model)


def load_key(path: Path, dataset: str, key: str) -> Any:
    """One key of the block of one data set, unchecked: the key that says what kind of block it is.

    Raises:
        UserError: the file is missing, is not YAML, has no block for this data set, or the key is missing.
    """
    block = _block(Path(path), dataset)
    if not isinstance(block, dict) or key not in block:
        raise UserError(f"{path}: key '{dataset}.{key}' is missing")
    return block[key]


def blocks(path: Path) -> list[str]:
    """Names of the data sets that a parameter file has a block for."""
    return list(_blocks(Path(path)))


def parse(text: str, name: str | Path) -> Any:
    """What a YAML text holds, by the reader (and so by the rules of YAML 1.2) that DVC uses.

    Args:
        text: the YAML.
        name: what to call it in the message, usually its path.

    Raises:
        UserError: it is not YAML, names a key twice, has a key that is no text, a tag such as ``!!int``, or is nested
            too deeply or too large.
    """
    try:
        _check_extent(text)
        content = YAML(typ="safe").load(text)
        _check_keys(content)
        return content
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        parts = [getattr(error, part, None) for part in ("context", "problem")]
        reason = ", ".join(filter(None, parts)) or first_line(error)
        raise UserError(f"{name}: not readable as YAML: {place}{' '.join(reason.split())}") from error
    except Exception as error:  # what the reader makes of impossible dates, endless numbers and odd keys
        raise UserError(f"{name}: not readable as YAML: {first_line(error)}") from error


def _check_extent(text: str) -> None:
    """Refuse what no reader survives, and tags, from the events alone: nothing is built yet."""
    sizes: dict[str, int] = {}  # of finished anchors, their aliases written out
    opened: list[tuple[str | None, int]] = []
    size = 0
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"alias *{event.anchor} is not defined above, or is inside its own value")
            size += sizes[event.anchor]
        elif isinstance(event, NodeEvent):
            if event.tag is not None:
                raise ValueError(f"tag {event.tag} is not allowed; write the plain value")
            size += 1
            if isinstance(event, CollectionStartEvent):
                opened.append((event.anchor, size - 1))
            elif event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = size - before
        if len(opened) > _MOST_LEVELS:
            raise ValueError(f"more than {_MOST_LEVELS} levels of nesting")
        if size > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES} values, counting aliases each time")


def _check_keys(content: Any) -> None:
    if isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(key, str):
                raise ValueError(f"key {_shown(key)} is not text; put it in quotes")
            _check_keys(value)
    elif isinstance(content, list):
        for value in content:
            _check_keys(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse(read_text(path), path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run from the project's root, or restore it with git") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def _blocks(path: Path) -> dict[str, Any]:
    return {name: block for name, block in _read(path).items() if not str(name).startswith(_SHARED)}


def _block(path: Path, dataset: str) -> Any:
    content = _blocks(path)
    if dataset not in content:
        example = next(iter(content), "street")
        raise UserError(f"{path}: no block for data set '{dataset}'; add one, e.g. by copying that of '{example}'")
    try:
        check_name(dataset)
    except ValueError as error:
        raise UserError(f"{path}: '{dataset}' cannot be the name of a data set: {error}") from error
    return content[dataset]


def _validated(path: Path, prefix: str, content: Any, model: type[Block]) -> Block:
    if not isinstance(content, dict):
        raise UserError(f"{path}: key '{prefix}': expected keys and values, found {_shown(content)}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        complaints = [_complaint(prefix, one, model) for one in error.errors()]
        raise UserError(f"{path}: " + "; ".join(complaints)) from error


def _complaint(prefix: str, error: Any, model: type[BaseModel]) -> str:
    parts = [str(part) for part in error["loc"]]
    if parts[-1:] == ["[key]"]:
        # A name that is wrong is the value of the complaint, not part of the place.
        parts = parts[:-2]
    key = ".".join([prefix, *parts] if prefix else parts)
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, parts[:-1])
        near = difflib.get_close_matches(parts[-1], known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"allowed here: {', '.join(known) or 'none'}"
        return f"key '{key}' = {_shown(error['input'])} is unknown; {hint}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        # A check of the whole file; its message names the keys itself.
        return message
    # A check of several keys names them itself; their whole block would fill the screen.
    shown = "" if isinstance(error["input"], dict) else f" = {_shown(error['input'])}"
    return f"key '{key}'{shown}: {message[:1].lower()}{message[1:]}{_allowed(model, parts)}"


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    owner = _descend(model, path)
    return list(owner.model_fields) if owner is not None else []


def _descend(model: Any, path: list[str]) -> type[BaseModel] | None:
    """The model that owns the key at ``path``, as far as the annotations say."""
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
        if part not in model.model_fields:
            return None
        model = _model_of(model.model_fields[part].annotation)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _model_of(annotation: Any) -> Any:
    if isinstance(annotation, type):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_of(argument)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def _allowed(model: type[BaseModel], parts: list[str]) -> str:
    """The whole allowed range of a numeric field, since pydantic names only the bound that was crossed."""
    owner = _descend(model, parts[:-1])
    if not parts or owner is None or parts[-1] not in owner.model_fields:
        return ""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    metadata = owner.model_fields[parts[-1]].metadata
    bounds = [
        f"{sign} {getattr(item, name)}" for name, sign in signs.items() for item in metadata if hasattr(item, name)
    ]
    return f" (allowed: {' and '.join(bounds)})" if bounds else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
