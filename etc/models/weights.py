"""Networks on disk: ``weights.safetensors`` with ``config.json`` beside it, and weights from elsewhere."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from etc.errors import UserError
from etc.files import atomic, read_json, write_json
from etc.models.registry import build

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
_SHOWN = 5


def save(folder: str | Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Write a network to ``folder``; equal weights and config give equal bytes.

    Args:
        folder: made when missing; its ``weights.safetensors`` and ``config.json`` are replaced.
        network: any device and memory format.
        config: JSON values; at least architecture, classes, width and class_names.

    Raises:
        UserError: the config lacks a key, or has another number of class names than classes.
    """
    _check_config(config, "config")
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic(folder / WEIGHTS) as stream:
        stream.write(safetensors.torch.save(state))
    write_json(folder / CONFIG, dict(config))


def load(folder: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that was saved in ``folder``, in evaluation mode on the CPU, and its config.

    Raises:
        UserError: a file is missing, damaged or does not fit the other.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    _check_config(config, str(folder / CONFIG))
    # The random numbers of the discarded first weights must not shift those of the caller.
    with torch.random.fork_rng(devices=[]):
        network = build(config["architecture"], config["classes"], config["width"])
    load_state(network, read_state(folder / WEIGHTS), str(folder / WEIGHTS))
    return network.eval(), config


def load_backbone(network: nn.Module, path: str | Path) -> None:
    """Put ImageNet weights with torchvision's or timm's ResNet names into ``network.backbone``; ``fc`` is left out.

    Raises:
        UserError: the file is missing or damaged, or its weights do not fit.
    """
    state = {name: tensor for name, tensor in read_state(path).items() if not name.startswith("fc.")}
    load_state(network.backbone, state, str(path))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors from ``.safetensors``, or from a ``.pth`` of elsewhere without running code from it.

    A dictionary under ``state_dict`` or ``model`` is unpacked, the prefix ``module.`` of parallel training is removed.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a weights file, or run the stage that makes it")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: not a file of weights alone, or damaged; save its state_dict() in a file of its own"
        ) from error
    except Exception as error:  # a damaged pickle raises whatever its wrong bytes lead to
        raise UserError(f"{path}: not readable as weights ({_one_line(error)}); fetch or make it again") from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no dictionary of tensors; save a network's state_dict()")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_state(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load ``state`` into ``network``; every key and shape must fit.

    Only the counters ``num_batches_tracked`` may be missing: files from before torch 0.4.1 do not have them.

    Raises:
        UserError: names the missing, unexpected and differently shaped keys of ``source``.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    mismatched = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = [
        f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
        if names
    ]
    if problems:
        raise UserError(
            f"{source}: weights do not fit the network ({'; '.join(problems)}); check architecture, classes and width"
        )
    network.load_state_dict(state, strict=False)


def _check_config(config: Any, source: str) -> None:
    kinds = {"architecture": str, "classes": int, "width": int, "class_names": list | tuple}
    if not isinstance(config, Mapping):
        raise UserError(f"{source}: expected an object with {', '.join(kinds)}")
    absent = [key for key in kinds if key not in config]
    if absent:
        raise UserError(f"{source}: no {', '.join(absent)}; a config holds {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(config[key], kind):
            raise UserError(f"{source}: {key} is {config[key]!r}; expected {getattr(kind, '__name__', 'a list')}")
    if len(config["class_names"]) != config["classes"]:
        names = len(config["class_names"])
        raise UserError(f"{source}: {names} class_names for {config['classes']} classes; give one name a class")


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
