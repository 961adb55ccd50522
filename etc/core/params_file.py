"""Reading one parameter file: typed, and every complaint names the file, the key, the value and what is allowed."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from etc.core.errors import UserError

DIRECTORY = Path("params")
# libyaml reads ten times as fast as the same loader in Python, which a PyYAML without it has alone.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A block of such a name holds what data sets share, and is none itself.
_SHARED = "."


class Params(BaseModel):
    """Base of all parameter blocks: unknown keys are errors, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """One key of the block of one data set, unchecked: the one that says of which kind the block is.

    Raises:
        UserError: the file is missing, is not YAML, has no block for this data set, or the block lacks the key.
    """
    block = _block(Path(path), dataset)
    if not isinstance(block, dict) or key not in block:
        raise UserError(f"{path}: key '{dataset}.{key}' is missing")
    return block[key]


def blocks(path: Path) -> list[str]:
    """Names of the data sets that a parameter file has a block for."""
    return list(_blocks(Path(path)))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run from the project's root, or restore it with git") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
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
    return content[dataset]


def _validated(path: Path, prefix: str, content: Any, model: type[Block]) -> Block:
    if not isinstance(content, dict):
        raise UserError(f"{path}: key '{prefix}': expected keys and values, found {content!r}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        complaints = [_complaint(prefix, one, model) for one in error.errors()]
        raise UserError(f"{path}: " + "; ".join(complaints)) from error


def _complaint(prefix: str, error: Any, model: type[BaseModel]) -> str:
    parts = [str(part) for part in error["loc"]]
    key = ".".join([prefix, *parts] if prefix else parts)
    if error["type"] == "extra_forbidden":
        known = ", ".join(_known_keys(model, parts[:-1])) or "none"
        return f"key '{key}' = {error['input']!r} is unknown; allowed here: {known}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        # A check of the whole file; its message names the keys itself.
        return message
    # A check of several keys names them itself; their whole block would fill the screen.
    shown = "" if isinstance(error["input"], dict) else f" = {error['input']!r}"
    return f"key '{key}'{shown}: {message[:1].lower()}{message[1:]}{_allowed(model, parts)}"


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    owner = _descend(model, path)
    return list(owner.model_fields) if owner is not None else []


def _descend(model: Any, path: list[str]) -> type[BaseModel] | None:
    """The model that owns the key at ``path``, as far as it can be told from the annotations."""
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
