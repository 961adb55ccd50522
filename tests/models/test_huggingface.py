"""Hugging Face models, tiny ones with random weights in a folder: nothing is fetched."""

import json

import pytest
import torch

from etc.core.errors import UserError
from etc.models import registry, weights
from etc.models.huggingface import Preprocessing, local_files

transformers = pytest.importorskip("transformers")

CLASSES = 4


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    """Folder of a SegFormer with 7 classes and its image processor's file."""
    folder = tmp_path_factory.mktemp("segformer")
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 2],
        decoder_hidden_size=16,
        num_labels=7,
    )
    torch.manual_seed(0)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    processor = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(scope="module")
def upernet(tmp_path_factory):
    """Folder of an UperNet with an auxiliary head."""
    folder = tmp_path_factory.mktemp("upernet")
    stages = [f"stage{k}" for k in range(1, 5)]
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, layer_type="basic", out_features=stages
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone,
        hidden_size=16,
        num_labels=CLASSES,
        auxiliary_in_channels=24,
        auxiliary_channels=CLASSES,
    )
    torch.manual_seed(0)
    transformers.UperNetForSemanticSegmentation(config).save_pretrained(folder)
    return folder


def build(folder, classes=CLASSES):
    return registry.build(f"hf:{folder}", classes, None)


def config(folder):
    return {"architecture": f"hf:{folder}", "classes": CLASSES, "width": None, "class_names": list("abcd")}


def test_logits_are_those_of_the_model(segformer):
    """With its own classes, on an image normalised as its processor says."""
    network = build(segformer, 7).eval()
    reference = transformers.SegformerForSemanticSegmentation.from_pretrained(segformer).eval()
    image = torch.rand(2, 3, 40, 56)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    with torch.no_grad():
        output = network(image)
        torch.testing.assert_close(output.logits, reference(pixel_values=(image - mean) / std).logits)
        torch.testing.assert_close(network.classifier(output.features), output.logits)
    assert output.auxiliary == ()
    assert network.report.fits


def test_head_for_other_classes_is_initialised_at_random_and_reported(segformer):
    network = build(segformer)
    assert network.eval()(torch.rand(1, 3, 33, 65)).logits.shape == (1, CLASSES, 9, 17)
    line = network.report.line()
    assert line.endswith("; 2 initialised at random: decode_head.classifier.bias, decode_head.classifier.weight")
    assert f"hf:{segformer}: " in line
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = build(segformer).classifier.weight
        torch.manual_seed(1)
        assert torch.equal(first, build(segformer).classifier.weight)


def test_backbone_is_the_part_below_the_head(segformer, upernet):
    for folder in (segformer, upernet):
        network = build(folder)
        below = {id(parameter) for parameter in network.backbone.parameters()}
        heads = [name for name, parameter in network.named_parameters() if id(parameter) not in below]
        assert below and heads and all("head" in name for name in heads)


@pytest.mark.parametrize("kind", ["segformer", "upernet"])
def test_training_reaches_every_parameter(kind, request):
    network = build(request.getfixturevalue(kind)).train()
    output = network(torch.rand(2, 3, 64, 96))
    assert len(output.auxiliary) == (1 if kind == "upernet" else 0)
    sum(x.square().mean() for x in (output.logits, *output.auxiliary)).backward()
    assert not [name for name, x in network.named_parameters() if x.grad is None]
    with pytest.raises(UserError, match="batch size of at least 2"):
        network(torch.rand(1, 3, 64, 96))


def test_saved_network_needs_neither_hub_nor_folder(upernet, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in upernet.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    saved = build(source).train()
    with torch.no_grad():
        saved(torch.rand(2, 3, 32, 32))
    weights.save(tmp_path / "run", saved, config(source))
    for path in source.iterdir():
        path.unlink()
    source.rmdir()
    loaded, read = weights.load(tmp_path / "run")
    assert all(torch.equal(x, loaded.state_dict()[name]) for name, x in saved.state_dict().items())
    image = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        # Weights that lie elsewhere in memory may be rounded in other steps.
        torch.testing.assert_close(loaded(image).logits, saved.eval()(image).logits)
    assert str(source) not in json.dumps(read["huggingface"])


def test_saved_preprocessing_comes_back(segformer, tmp_path):
    weights.save(tmp_path, build(segformer), config(segformer))
    loaded, _ = weights.load(tmp_path)
    assert loaded.preprocessing == Preprocessing((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), False)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (None, Preprocessing()),
        ({"do_normalize": False, "image_mean": [0.5] * 3}, Preprocessing((0.0,) * 3, (1.0,) * 3)),
        ({"do_flip_channel_order": True}, Preprocessing((0.0,) * 3, (1.0,) * 3, True)),
        ({"do_normalize": True}, Preprocessing()),
    ],
)
def test_image_processors_are_followed(processor, expected, segformer, tmp_path):
    for path in segformer.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocessor_config.json").unlink()
    if processor is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    assert build(tmp_path).preprocessing == expected


def test_channels_are_turned_for_models_that_want_blue_first(segformer):
    network = build(segformer).eval()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        network.normalise = torch.nn.Identity()
        expected = network(image.flip(1)).logits
        network.preprocessing = network.preprocessing._replace(blue_first=True)
        assert torch.equal(network(image).logits, expected)


def test_weights_below_the_head_must_be_complete(segformer, tmp_path):
    for path in segformer.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    described = json.loads((tmp_path / "config.json").read_text())
    described["hidden_sizes"] = [8, 16, 24, 64]
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"weights below the head are missing or of another shape \(segformer\."):
        build(tmp_path)


def test_models_that_cannot_be_fetched_are_named(tmp_path):
    with pytest.raises(UserError, match=r"hf:nobody/nothing: cannot be fetched .*hf:FOLDER") as error:
        registry.build("hf:nobody/nothing", CLASSES, None)
    assert "\n" not in str(error.value)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="cannot be built as a semantic-segmentation model"):
        build(tmp_path)


def test_truncated_weights_are_named(segformer, tmp_path):
    for path in segformer.iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
    with pytest.raises(UserError, match=f"hf:{tmp_path}: "):
        build(tmp_path)


CUSTOM = {"AutoConfig": "mine.Config", "AutoModelForSemanticSegmentation": "mine.Model"}


@pytest.mark.parametrize("model_type", ["mine", "segformer"])
def test_code_of_a_model_is_never_run_nor_offered_to_be_run(model_type, segformer, tmp_path, monkeypatch):
    """Not even where somebody at a terminal would answer yes; a known kind of model is built by transformers' code."""
    for path in segformer.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(described | {"model_type": model_type, "auto_map": CUSTOM}))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\n")
    asked = []
    monkeypatch.setattr("builtins.input", lambda *question: asked.append(question) or "yes")
    if model_type == "mine":
        with pytest.raises(UserError, match=f"hf:{tmp_path}: needs code of its own, which is never run") as error:
            build(tmp_path)
        assert "\n" not in str(error.value)
    else:
        saved = build(tmp_path)
        weights.save(tmp_path / "run", saved, config(tmp_path))
        weights.load(tmp_path / "run")
    assert not asked and not (tmp_path / "harm").exists()


def test_a_saved_config_with_code_of_its_own_is_refused(segformer, tmp_path, monkeypatch):
    weights.save(tmp_path, build(segformer), config(segformer))
    described = json.loads((tmp_path / "config.json").read_text())
    described["huggingface"]["config"]["model_type"] = "mine"
    described["huggingface"]["config"]["auto_map"] = CUSTOM
    (tmp_path / "config.json").write_text(json.dumps(described))
    monkeypatch.setattr("builtins.input", lambda *question: pytest.fail("asked"))
    with pytest.raises(UserError, match="cannot be built as a semantic-segmentation model"):
        weights.load(tmp_path)


def test_weights_that_are_not_finite_are_named(segformer, tmp_path):
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(segformer)
    with torch.no_grad():
        model.decode_head.batch_norm.weight[0] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"1 not finite: model.decode_head.batch_norm.weight"):
        build(tmp_path)


def test_sizes_that_a_model_does_not_accept_are_named(segformer):
    """The first layers of this model look at 8 x 8 patches of a map of a quarter of the size."""
    with pytest.raises(UserError, match=r"SegformerForSemanticSegmentation does not accept images of 24 x 40 \("):
        build(segformer).eval()(torch.rand(1, 3, 24, 40))


def test_incomplete_saved_configs_are_named(segformer, tmp_path):
    weights.save(tmp_path, build(segformer), config(segformer))
    described = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"huggingface": {}}, "'huggingface' in the saved config is incomplete"),
        ({"classes": 3, "class_names": list("abc")}, "4 labels for 3 classes"),
        ({"width": 64}, "width is 64"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(described | change))
        with pytest.raises(UserError, match=message):
            weights.load(tmp_path)


def test_files_of_a_folder_count_as_inputs(segformer):
    assert segformer / "model.safetensors" in local_files(f"hf:{segformer}")
    assert local_files("hf:nobody/nothing") == []


def test_export_computes_the_same(segformer):
    network = build(segformer).eval()
    image = torch.rand(1, 3, 40, 56)
    exported = torch.export.export(network, (image,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(image).logits, network(image).logits)
