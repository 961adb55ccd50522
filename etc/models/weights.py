"""Networks on disk: ``weights.safetensors`` and ``config.json`` in one folder, and third-party weights."""

import hashlib
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from etc.core.errors import UserError, first_line, many
from etc.core.files import atomic, check_archive, json_text, read_json, sha256
from etc.models.load_report import LoadReport, compare, require_usable
from etc.models.names import LARGEST_WIDTH, is_huggingface
from etc.models.registry import rebuild

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
# Key of the config: the weights themselves cannot show that one of their bits was flipped.
HASH = "weights_sha256"
# Train ids are bytes, and 255 is ignored.
_MOST_CLASSES = 255


def save(folder: str | Path, network: nn.Module, config: Mapping[str, Any]) -> str:
    """Write a network to ``folder``, both files or neither; equal weights and config give equal bytes.

    Args:
        folder: created if missing; its ``weights.safetensors`` and ``config.json`` are replaced.
        network: any device and memory format.
        config: JSON values; at least architecture, classes, width and class_names. The network's ``saved_config``, if
            any, is added: a Hugging Face model can then be rebuilt without the hub. So is the SHA-256 of the weights.

    Returns:
        The SHA-256 of the weights.

    Raises:
        UserError: a key of the config is missing, or the number of class names is not that of the classes.
    """
    _check_config(config, "config")
    folder = Path(folder)
    content = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    )
    config = {**config, **getattr(network, "saved_config", {}), HASH: hashlib.sha256(content).hexdigest()}
    with atomic(folder / CONFIG, "w") as described:
        described.write(json_text(config))
        described.flush()
        with atomic(folder / WEIGHTS) as stream:
            stream.write(content)
    return config[HASH]


def load(folder: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load the network saved in ``folder``, in evaluation mode on the CPU, and its config.

    Raises:
        UserError: a file is missing, damaged or does not match the other, or a weight is not finite.
    """
    folder = Path(folder)
    config = _read_config(folder)
    # Drawing the weights that are then replaced must not advance the caller's generator.
    with torch.random.fork_rng(devices=[]):
        network = rebuild(config)
    load_state(network, _read_trained(folder, config), str(folder / WEIGHTS))
    return network.eval(), {key: value for key, value in config.items() if key != HASH}


def check_classes(
    folder: str | Path, config: Mapping[str, Any], names: tuple[str, ...], where: str, remedy: str
) -> None:
    """Make sure that the network saved in ``folder`` has the classes of a data set.

    Args:
        folder: for the message.
        config: of the network.
        names: class names of the data set, position = train id.
        where: the data set, for the message.
        remedy: what to do if the classes differ.

    Raises:
        UserError: the classes or their order differ.
    """
    if tuple(config["class_names"]) != names:
        trained_on = ", ".join(config["class_names"])
        raise UserError(f"{folder}: trained on the classes {trained_on}, {where} has {', '.join(names)}; {remedy}")


def load_backbone(network: nn.Module, path: str | Path) -> LoadReport:
    """Load weights trained on ImageNet into ``network.backbone``; the classifier of the source is left out.

    The keys are those of torchvision's ResNets (timm's too) and MobileNetV2, of the authors' HRNet and of
    efficientnet_lite_pytorch.

    Returns:
        Which tensors were loaded and which were left out.

    Raises:
        UserError: the file is missing or damaged, or its weights do not fit.
    """
    return load_state(network.backbone, read_state(path), str(path), getattr(network.backbone, "left_out", ()))


def load_start(network: nn.Module, folder: str | Path) -> LoadReport:
    """Load the weights of the trained network in ``folder`` into one of the same architecture, width and classes.

    Returns:
        Which tensors were loaded.

    Raises:
        UserError: a file is missing, damaged or does not match the other, or the weights do not fit.
    """
    folder = Path(folder)
    return load_state(network, _read_trained(folder), str(folder / WEIGHTS))


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors from a ``.safetensors`` file, or from a third-party ``.pth`` without running code from it.

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
        # Files of torch before 1.6 are plain pickles.
        if zipfile.is_zipfile(path):
            check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: damaged, or holds more than weights; save the network's state_dict() alone"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{path}: not readable as weights ({first_line(error)}); fetch it or make it again") from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    tensors = isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values())
    if not tensors or not state or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path}: holds no dictionary of named tensors; save a network's state_dict()")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_state(
    network: nn.Module, state: Mapping[str, Tensor], source: str, left_out: Iterable[str] = ()
) -> LoadReport:
    """Load ``state`` into ``network``; every key and shape must fit, see :func:`etc.models.load_report.compare`.

    Args:
        network: unchanged when something does not fit.
        state: named tensors.
        source: where they come from, for messages.
        left_out: prefixes of keys of ``state`` that are not wanted.

    Raises:
        UserError: names the missing, unexpected and differently shaped keys of ``source``, or those whose values no
            network can have, see :func:`etc.models.load_report.require_usable`.
    """
    network_state = network.state_dict()
    report = compare(network_state, state, source, left_out)
    if not report.fits:
        raise UserError(
            f"{source}: weights do not fit the network ({report.problems}); check architecture, classes and width"
        )
    wanted = {name: state[name] for name in report.loaded}
    require_usable(wanted, network_state, source)
    network.load_state_dict(wanted, strict=False)
    return report


def _read_trained(folder: Path, config: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """Weights of a folder that :func:`save` wrote, checked against the hash in its config."""
    path = folder / WEIGHTS
    state = read_state(path)
    expected = (_read_config(folder) if config is None else config).get(HASH)
    if expected is not None and expected != sha256(path):
        raise UserError(
            f"{path}: damaged or replaced: its SHA-256 is not the '{HASH}' of {CONFIG}; restore it, run the stage that "
            f"makes it again, or delete '{HASH}' if you replaced it on purpose"
        )
    return state


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / CONFIG)
    _check_config(config, str(folder / CONFIG))
    return config


def _check_config(config: Any, source: str) -> None:
    kinds = {"architecture": str, "classes": int, "width": int, "class_names": list | tuple}
    if isinstance(config, Mapping) and is_huggingface(str(config.get("architecture"))):
        kinds["width"] = type(None)
    if not isinstance(config, Mapping):
        raise UserError(f"{source}: expected an object with {', '.join(kinds)}")
    absent = [key for key in kinds if key not in config]
    if absent:
        raise UserError(f"{source}: no {', '.join(absent)}; a config holds {', '.join(kinds)}")
    for key, kind in kinds.items():
        # A bool is an int to Python.
        if not isinstance(config[key], kind) or isinstance(config[key], bool):
            raise UserError(f"{source}: {key} is {config[key]!r:.60}; expected {getattr(kind, '__name__', 'a list')}")
    for key, largest in (("classes", _MOST_CLASSES), ("width", LARGEST_WIDTH)):
        if kinds[key] is int and not 1 <= config[key] <= largest:
            raise UserError(f"{source}: {key} is {config[key]!r:.60}; expected 1 to {largest}")
    if not all(isinstance(name, str) for name in config["class_names"]):
        raise UserError(f"{source}: class_names is {config['class_names']!r:.60}; expected a list of names")
    if len(config["class_names"]) != config["classes"]:
        names = len(config["class_names"])
        raise UserError(
            f"{source}: {names} class_names for {many(config['classes'], 'class', 'classes')}; give one name a class"
        )
    palette = config.get("palette", [[0, 0, 0]] * config["classes"])
    try:
        fits = np.asarray(palette).shape == (config["classes"], 3) and np.isin(palette, range(256)).all()
    except ValueError:
        fits = False
    if not fits:
        raise UserError(f"{source}: palette is {palette!r:.60}; expected red, green and blue, 0 to 255, of each class")
