"""Networks on disk: round trip, bytes, foreign and broken files."""

import hashlib
import json
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from etc.core.errors import UserError
from etc.models import weights
from etc.models.registry import ARCHITECTURES, build


def config(architecture="pspnet18", classes=3, width=8):
    names = [f"class {k}" for k in range(classes)]
    return {"architecture": architecture, "classes": classes, "width": width, "class_names": names, "seed": 7}


def network(seed=0, **kwargs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(*(config(**kwargs)[key] for key in ("architecture", "classes", "width")))
        with torch.no_grad():
            made(torch.rand(2, 3, 32, 32))  # moves the running statistics
    return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_round_trip(architecture, tmp_path):
    saved = network(architecture=architecture)
    weights.save(tmp_path / "run", saved, config(architecture))
    state = torch.random.get_rng_state()
    loaded, read = weights.load(tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert read == config(architecture)
    assert not loaded.training
    image = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(loaded(image).logits, saved.eval()(image).logits)
    read_back = loaded.state_dict()
    assert all(torch.equal(x, read_back[name]) for name, x in saved.state_dict().items())


def test_equal_networks_give_equal_bytes(tmp_path):
    weights.save(tmp_path / "a", network(), config())
    weights.save(tmp_path / "b", network().to(memory_format=torch.channels_last), dict(reversed(config().items())))
    for name in ("weights.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    weights.save(tmp_path / "b", network(seed=1), config())
    assert (tmp_path / "a" / weights.WEIGHTS).read_bytes() != (tmp_path / "b" / weights.WEIGHTS).read_bytes()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["config.json", "weights.safetensors"]


@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_imagenet_weights_fit_but_for_the_classifier(suffix, counters, tmp_path):
    """torchvision's older files have no num_batches_tracked."""
    source = network(seed=1)
    state = {"fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000), **source.backbone.state_dict()}
    state = {name: x for name, x in state.items() if counters or not name.endswith("num_batches_tracked")}
    path = tmp_path / f"resnet18.{suffix}"
    torch.save(state, path) if suffix == "pth" else safetensors.torch.save_file(state, path)
    target = network(seed=2)
    classifier = target.classifier.weight.clone()
    report = weights.load_backbone(target, path)
    assert report.fits and sorted(report.left_out) == ["fc.bias", "fc.weight"]
    assert torch.equal(target.backbone.layer4[1].bn2.running_var, source.backbone.layer4[1].bn2.running_var)
    assert all(torch.equal(x, source.backbone.get_parameter(name)) for name, x in target.backbone.named_parameters())
    assert torch.equal(target.classifier.weight, classifier)


IMAGENET_HEADS = {
    "mobilenetv2": ("features.18.0.weight", "features.18.1.num_batches_tracked", "classifier.1.weight"),
    "hrnet_w18_small": ("incre_modules.0.0.conv1.weight", "downsamp_modules.0.0.bias", "final_layer.0.weight"),
}


@pytest.mark.parametrize("architecture", IMAGENET_HEADS)
def test_other_backbones_leave_out_the_head_of_their_source(architecture, tmp_path):
    source, target = network(seed=1, architecture=architecture), network(seed=2, architecture=architecture)
    extra = {name: torch.zeros(2) for name in IMAGENET_HEADS[architecture]}
    torch.save({**source.backbone.state_dict(), **extra}, tmp_path / "imagenet.pth")
    report = weights.load_backbone(target, tmp_path / "imagenet.pth")
    assert sorted(report.left_out) == sorted(IMAGENET_HEADS[architecture])
    assert len(report.loaded) == len(source.backbone.state_dict())
    pairs = zip(target.backbone.state_dict().values(), source.backbone.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)


def test_weights_of_another_backbone_are_refused_with_the_differing_keys(tmp_path):
    torch.save(network(architecture="mobilenetv2").backbone.state_dict(), tmp_path / "mobilenet.pth")
    with pytest.raises(UserError, match=r"mobilenet.pth: .*missing: conv1.weight, .*unexpected: features.0.0.weight, "):
        weights.load_backbone(network(architecture="hrnet_w18_small"), tmp_path / "mobilenet.pth")


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_wrapped_checkpoints_are_unpacked(key, tmp_path):
    state = network().state_dict()
    torch.save({"epoch": 3, key: {f"module.{name}": x for name, x in state.items()}}, tmp_path / "other.pth")
    read = weights.read_state(tmp_path / "other.pth")
    assert list(read) == list(state)
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_keys_that_do_not_fit_are_named():
    state = network().state_dict()
    state["extra.weight"] = torch.zeros(1)
    del state["backbone.bn1.bias"]
    state["classifier.bias"] = torch.zeros(9)
    target = network(seed=1)
    before = {name: x.clone() for name, x in target.state_dict().items()}
    with pytest.raises(UserError) as error:
        weights.load_state(target, state, "other.pth")
    assert str(error.value) == (
        "other.pth: weights do not fit the network (1 missing: backbone.bn1.bias; 1 unexpected: extra.weight; "
        "1 of another shape: classifier.bias (9,) instead of (3,)); check architecture, classes and width"
    )
    assert all(torch.equal(x, before[name]) for name, x in target.state_dict().items())


def spoilt(**values):
    """A network's state with other values."""
    return network().state_dict() | values


UNUSABLE = {
    "nan": ("not finite: classifier.bias", {"classifier.bias": torch.tensor([0.0, float("nan"), 0.0])}),
    "infinity": ("not finite: classifier.bias", {"classifier.bias": torch.full((3,), float("-inf"))}),
    "too large for float32": (
        "not finite: classifier.bias",
        {"classifier.bias": torch.full((3,), 1e300, dtype=torch.float64)},
    ),
    "negative variance": ("negative variance: backbone.bn1.running_var", {"backbone.bn1.running_var": -torch.ones(8)}),
    "whole numbers": (
        "another kind of number: classifier.bias int32",
        {"classifier.bias": torch.ones(3, dtype=torch.int32)},
    ),
    "complex": (
        "another kind of number: classifier.bias complex64",
        {"classifier.bias": torch.ones(3, dtype=torch.complex64)},
    ),
    "fractional counter": (
        "another kind of number: backbone.bn1.num_batches_tracked float32",
        {"backbone.bn1.num_batches_tracked": torch.tensor(0.5)},
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_values_that_no_network_can_have_are_refused_wherever_weights_are_read(kind, tmp_path):
    message, values = UNUSABLE[kind]
    weights.save(tmp_path, network(), config())
    described = json.loads((tmp_path / weights.CONFIG).read_text())
    safetensors.torch.save_file(spoilt(**values), tmp_path / weights.WEIGHTS)
    described[weights.HASH] = hashlib.sha256((tmp_path / weights.WEIGHTS).read_bytes()).hexdigest()
    (tmp_path / weights.CONFIG).write_text(json.dumps(described))
    backbone = {name.removeprefix("backbone."): x for name, x in spoilt(**values).items() if "backbone" in name}
    torch.save(backbone, tmp_path / "backbone.pth")
    target = network(seed=1)
    before = {name: x.clone() for name, x in target.state_dict().items()}
    reads = [lambda: weights.load(tmp_path), lambda: weights.load_start(target, tmp_path)]
    if "backbone" in message:
        message = message.replace("backbone.bn1", "(backbone.)?bn1")
        reads.append(lambda: weights.load_backbone(target, tmp_path / "backbone.pth"))
    for read in reads:
        with pytest.raises(UserError, match=rf"not usable as weights \(1 .*{message}\); fetch it or make it again$"):
            read()
    assert all(torch.equal(x, before[name]) for name, x in target.state_dict().items())


def test_other_precisions_are_loaded(tmp_path):
    state = {name: x.half() if x.is_floating_point() else x for name, x in network().state_dict().items()}
    target = network(seed=1)
    weights.load_state(target, state, "half.pth")
    assert torch.equal(target.classifier.bias, state["classifier.bias"].float())


def test_weights_that_are_not_those_of_the_config_are_refused(tmp_path):
    """A flipped bit of a weight gives another weight, which only the hash can tell."""
    weights.save(tmp_path, network(), config())
    path = tmp_path / weights.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    for read in (lambda: weights.load(tmp_path), lambda: weights.load_start(network(), tmp_path)):
        with pytest.raises(UserError, match=r"weights.safetensors: damaged or replaced: .*delete 'weights_"):
            read()
    described = json.loads((tmp_path / weights.CONFIG).read_text())
    del described[weights.HASH]
    (tmp_path / weights.CONFIG).write_text(json.dumps(described))
    assert weights.load(tmp_path)[1] == config()


def test_a_copy_of_a_loaded_network_has_its_bytes(tmp_path):
    weights.save(tmp_path / "a", network(), config())
    weights.save(tmp_path / "b", *weights.load(tmp_path / "a"))
    for name in (weights.WEIGHTS, weights.CONFIG):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_long_lists_are_cut():
    with pytest.raises(UserError, match=r"missing: backbone.conv1.weight, (\S+, ){4}\.\.\.; 1 unexpected: a\)"):
        weights.load_state(network(), {"a": torch.zeros(1)}, "other.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    weights.save(tmp_path, network(), config())
    (tmp_path / "config.json").write_text(json.dumps(config(width=12)))
    with pytest.raises(UserError, match="weights.safetensors: weights do not fit"):
        weights.load(tmp_path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_truncated_files_are_named(suffix, share, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    state = network().state_dict()
    torch.save(state, path) if suffix == "pth" else safetensors.torch.save_file(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=f"weights.{suffix}") as error:
        weights.read_state(path)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_files_are_read_or_named(suffix, tmp_path):
    """Wrong bytes among the numbers cannot be seen; anywhere else they must not end in another error."""
    path, state = tmp_path / f"weights.{suffix}", {"a": torch.zeros(4), "b": torch.zeros(2, 2)}
    if suffix == "pth":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        safetensors.torch.save_file(state, path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            weights.read_state(path)
        except UserError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 100


class Harmful:
    def __reduce__(self):
        return (open, ("harm", "w"))


FOREIGN = {
    "page": b"<!DOCTYPE html><html>404 not found</html>",
    "text": b"0123456789" * 10,
    "zeros": bytes(100),
    "number": pickle.dumps(3),
    "code": pickle.dumps(Harmful()),
    "noise": bytes(range(256)) * 4,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_named_and_not_run(kind, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(UserError, match=f"other.{suffix}") as error:
        weights.read_state(path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "harm").exists()


def test_whole_networks_and_other_values_are_refused(tmp_path):
    torch.save(network(), tmp_path / "network.pth")
    with pytest.raises(UserError, match=r"network.pth: .*state_dict\(\)"):
        weights.read_state(tmp_path / "network.pth")
    for value in ([1, 2], {1: torch.zeros(2)}, {"state_dict": {1: torch.zeros(2)}}, {}, {"epoch": 3}):
        torch.save(value, tmp_path / "other.pth")
        with pytest.raises(UserError, match="other.pth: holds no dictionary of named tensors"):
            weights.read_state(tmp_path / "other.pth")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match="none.pth: no such file"):
        weights.read_state(tmp_path / "none.pth")
    with pytest.raises(UserError, match="config.json"):
        weights.load(tmp_path)
    weights.save(tmp_path, network(), config())
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="weights.safetensors: no such file"):
        weights.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": "three"}, "classes is 'three'; expected int"),
        ({"classes": True, "class_names": ["a"]}, "classes is True; expected int"),
        ({"classes": 10**40}, "classes is 10+; expected 1 to 255$"),
        ({"classes": 0, "class_names": []}, "classes is 0; expected 1 to 255"),
        ({"width": 10**9}, "width is 1000000000; expected 1 to 512"),
        ({"class_names": [1, 2, 3]}, r"class_names is \[1, 2, 3\]; expected a list of names"),
        ({"class_names": ["a"]}, "1 class_names for 3 classes"),
        ({"class_names": "abc"}, "class_names is 'abc'; expected a list"),
        ({"width": None}, "width is None"),
        ({"architecture": "unet"}, "unknown architecture 'unet'"),
    ],
)
def test_wrong_configs_are_named(change, message, tmp_path):
    weights.save(tmp_path, network(), config())
    (tmp_path / "config.json").write_text(json.dumps(config() | change))
    with pytest.raises(UserError, match=message):
        weights.load(tmp_path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"classes": %s}' % (b"1" * 5000), b"\xff", b"", b"[]", b"null"])
def test_configs_that_are_no_json_object_are_one_line(content, tmp_path):
    weights.save(tmp_path, network(), config())
    (tmp_path / "config.json").write_bytes(content)
    for read in (lambda: weights.load(tmp_path), lambda: weights.load_start(network(), tmp_path)):
        with pytest.raises(UserError, match="config.json: (not JSON|not text in UTF-8|expected an object)") as error:
            read()
        assert len(str(error.value)) < 300 + len(str(tmp_path)) and "\n" not in str(error.value)


def test_incomplete_config_is_refused_before_writing(tmp_path):
    with pytest.raises(UserError, match="config: no width; a config holds architecture, classes, width, class_names"):
        weights.save(tmp_path, network(), {k: v for k, v in config().items() if k != "width"})
    assert not list(tmp_path.iterdir())
