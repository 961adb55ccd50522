"""Semantic-segmentation models of the Hugging Face hub, by name or folder, as students or teachers.

They need the package ``transformers`` (extra ``huggingface``), which is imported only when one is built. A saved
network keeps the model's configuration in its own ``config.json``, so that it is built again without the hub.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from etc.core.errors import UserError, first_line, many
from etc.models.layers import IMAGENET_MEAN, IMAGENET_STD, Normalise
from etc.models.load_report import LoadReport, require_usable
from etc.models.memory import is_out_of_memory
from etc.models.names import HUGGINGFACE
from etc.models.output import Output, require_several

INSTALL = "pip install 'etc-segmentation[huggingface]'"
# Not needed to rebuild the model, and different on other machines or with other versions.
_UNWANTED = ("_name_or_path", "transformers_version", "architectures", "torch_dtype", "dtype")


class Preprocessing(NamedTuple):
    """What the model's image processor does to an image in 0..1, except resizing, which is left to the caller.

    Attributes:
        mean, std: for normalisation.
        blue_first: whether the model expects the channels in the order blue, green, red.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    blue_first: bool = False


class HuggingFaceNetwork(nn.Module):
    """A model of ``AutoModelForSemanticSegmentation`` under the contract of :mod:`etc.models.output`.

    ``features`` and ``logits`` are the input and output of the model's last classifier, at that layer's size, even if
    the model resizes its output afterwards; in training mode the model's dropout before the classifier has already been
    applied to the features. Heads called ``auxiliary...`` give the auxiliary logits.

    Args:
        model: the model.
        preprocessing: of the images.
        report: which of its weights were loaded; None for a model that was built from a configuration.

    Raises:
        UserError: no layer of the model is a convolution to as many channels as there are classes.
    """

    def __init__(self, model: Any, preprocessing: Preprocessing, report: LoadReport | None = None) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.report = report
        self.normalise = Normalise(preprocessing.mean, preprocessing.std)
        classifiers = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d) and module.out_channels == model.config.num_labels
        ]
        # Other layers may have as many channels by chance; the last one of a head gives the class scores.
        self._auxiliary = [name for name in classifiers if "auxiliary" in name][-1:]
        self._classifier = next((name for name in reversed(classifiers) if "auxiliary" not in name), "")
        if not self._classifier:
            raise UserError(f"hf: {type(model).__name__} has no convolution to the class scores; use another model")

    @property
    def backbone(self) -> nn.Module:
        """The part below the head."""
        model = self.model
        return model.base_model if model.base_model is not model else getattr(model, "backbone", model)

    @property
    def classifier(self) -> nn.Conv2d:
        """The last convolution."""
        return self.model.get_submodule(self._classifier)

    @property
    def saved_config(self) -> dict[str, Any]:
        """What :func:`rebuild` needs in addition to architecture and classes, as JSON values."""
        described = _without(json.loads(self.model.config.to_json_string(use_diff=False)))
        mean, std, blue_first = self.preprocessing
        return {
            "huggingface": {"config": described, "mean": list(mean), "std": list(std), "blue_first": blue_first},
        }

    def forward(self, image: Tensor) -> Output:
        """Segment a batch, see :mod:`etc.models.output`.

        Raises:
            UserError: one image in training mode, or a size that the model does not accept.
        """
        require_several(image, self.training)
        image = image.flip(1) if self.preprocessing.blue_first else image
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        heads = [self._classifier, *(self._auxiliary if self.training else [])]
        with contextlib.ExitStack() as hooks:
            for name in heads:
                handle = self.model.get_submodule(name).register_forward_hook(_recorder(seen, name))
                hooks.callback(handle.remove)
            try:
                self.model(pixel_values=self.normalise(image))
            except torch.OutOfMemoryError:
                raise
            except (ValueError, RuntimeError) as error:
                name, (height, width) = type(self.model).__name__, image.shape[2:]
                raise UserError(
                    f"{name} does not accept images of {height} x {width} ({first_line(error)}); use another size"
                ) from error
        (features, logits), *others = (seen[name] for name in heads)
        return Output(logits, features, tuple(output for _, output in others))


def fetch(architecture: str, classes: int) -> HuggingFaceNetwork:
    """A model with its own weights; what does not fit the number of classes is initialised at random.

    Args:
        architecture: ``hf:`` and a folder or a name on the hub, optionally with ``@`` and a revision.
        classes: number of classes.

    Raises:
        UserError: ``transformers`` is missing; the model cannot be fetched, is no semantic-segmentation model or needs
            code of its own, which is never run; its weights are incomplete below the head, or not finite.
    """
    transformers = _transformers(architecture)
    source, revision = _source(architecture)
    with _quiet(transformers), _errors_in_one_line(architecture):
        config = transformers.AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        config.num_labels = classes
        model, info = transformers.AutoModelForSemanticSegmentation.from_pretrained(
            source,
            revision=revision,
            config=config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
        preprocessing = _preprocessing(transformers, source, revision)
    network = HuggingFaceNetwork(model.float(), preprocessing)
    network.report = _report(network, info, architecture)
    state = network.state_dict()
    require_usable(state, state, architecture)
    return network


def rebuild(config: Mapping[str, Any]) -> HuggingFaceNetwork:
    """The model that a saved config describes, with random weights.

    Args:
        config: architecture, classes, and ``huggingface`` as in ``saved_config``.

    Raises:
        UserError: ``transformers`` is missing, or the config is incomplete.
    """
    architecture = config["architecture"]
    transformers = _transformers(architecture)
    try:
        saved = config["huggingface"]
        described = dict(saved["config"])
        preprocessing = Preprocessing(tuple(saved["mean"]), tuple(saved["std"]), bool(saved["blue_first"]))
        kind = described.pop("model_type")
    except (KeyError, TypeError) as error:
        raise UserError(f"{architecture}: 'huggingface' in the saved config is incomplete; train it again") from error
    with _quiet(transformers), _errors_in_one_line(architecture):
        model = transformers.AutoModelForSemanticSegmentation.from_config(
            transformers.AutoConfig.for_model(kind, **described), trust_remote_code=False
        )
    if model.config.num_labels != config["classes"]:
        labels = model.config.num_labels
        classes = many(config["classes"], "class", "classes")
        raise UserError(f"{architecture}: {many(labels, 'label')} for {classes} in the saved config")
    return HuggingFaceNetwork(model.float(), preprocessing)


def local_files(architecture: str) -> list[Path]:
    """Sorted files of the folder in an architecture ``hf:FOLDER``; empty for a name on the hub."""
    folder = Path(architecture.removeprefix(HUGGINGFACE))
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _source(architecture: str) -> tuple[str, str | None]:
    name = architecture.removeprefix(HUGGINGFACE)
    if Path(name).is_dir():
        return name, None
    name, _, revision = name.partition("@")
    return name, revision or None


def _transformers(architecture: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"{architecture}: Hugging Face models need the package transformers; run {INSTALL}") from error
    return transformers


def _preprocessing(transformers: Any, source: str, revision: str | None) -> Preprocessing:
    """Read the image processor's file. A model without one is assumed to use ImageNet's mean and deviation."""
    try:
        processor, _ = transformers.ImageProcessingMixin.get_image_processor_dict(source, revision=revision)
    except OSError:
        return Preprocessing()
    blue_first = bool(processor.get("do_flip_channel_order"))
    if not processor.get("do_normalize", "image_mean" in processor):
        return Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), blue_first)
    mean, std = processor.get("image_mean") or IMAGENET_MEAN, processor.get("image_std") or IMAGENET_STD
    return Preprocessing(tuple(mean), tuple(std), blue_first)


def _report(network: HuggingFaceNetwork, info: Mapping[str, Any], source: str) -> LoadReport:
    """Raises UserError when a weight below the head is missing or of another shape."""
    network_state = network.model.state_dict()
    # Mismatches come with both shapes.
    mismatched = sorted(entry if isinstance(entry, str) else entry[0] for entry in info["mismatched_keys"])
    missing = sorted(info["missing_keys"])
    fresh = {*missing, *mismatched}
    report = LoadReport(
        source,
        loaded=tuple(name for name in network_state if name not in fresh),
        missing=tuple(missing),
        unexpected=tuple(sorted(info["unexpected_keys"])),
        mismatched=tuple(mismatched),
    )
    parts = {id(parameter) for parameter in network.backbone.parameters()}
    below = [name for name, parameter in network.model.named_parameters() if id(parameter) in parts and name in fresh]
    if below and network.backbone is not network.model:
        weights = many(len(below), "weight below the head is", "weights below the head are")
        raise UserError(
            f"{source}: {weights} missing or of another shape ({', '.join(below[:5])}); "
            "give a model of the same configuration"
        )
    return report


def _recorder(seen: dict[str, tuple[Tensor, Tensor]], name: str) -> Callable[..., None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = inputs[0], output

    return record


def _without(described: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the keys that a rebuilt model does not need, in nested configurations too."""
    return {
        key: _without(value) if isinstance(value, dict) else value
        for key, value in described.items()
        if key not in _UNWANTED
    }


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence the library's report on what it loads: ours is one line."""
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _errors_in_one_line(architecture: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{architecture}: cannot be fetched ({first_line(error)}); check the name and the connection, or download "
            "the model once and give its folder, hf:FOLDER, which works without the hub"
        ) from error
    except Exception as error:  # a wrong configuration can raise anything
        if is_out_of_memory(error):
            raise
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{architecture}: needs code of its own, which is never run; use a model that is part of transformers"
            ) from error
        raise UserError(
            f"{architecture}: cannot be built as a semantic-segmentation model ({first_line(error)}); use a model of "
            "that kind, or another version of transformers"
        ) from error
