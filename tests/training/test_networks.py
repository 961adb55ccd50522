"""Students of every kind, trained by the stage and read back."""

import json
from pathlib import Path

import pytest
import torch

from etc.core.errors import UserError
from etc.models import registry, weights
from etc.stages import student
from tests.training import toy


@pytest.mark.parametrize("architecture", ["mobilenetv2", "hrnet_w18_small", "bisenetv2"])
def test_networks_of_other_strides_learn_from_the_teacher(architecture, project):
    toy.write_params(project, "student", {"widths": {architecture: 8}, "training.iterations": 2})
    student.run("street", architecture, "etc", 0)
    network, config = weights.load(f"data/street/students/{architecture}-etc-0")
    assert (config["architecture"], config["width"]) == (architecture, 8)
    assert network(torch.rand(1, 3, 32, 64)).logits.isfinite().all()


def test_start_from_foreign_weights_is_told(project, capfd):
    torch.manual_seed(5)
    backbone = registry.build("mobilenetv2", 9, 8).backbone
    torch.save({**backbone.state_dict(), "classifier.1.weight": torch.zeros(1000, 8)}, "imagenet.pth")
    changes = {"widths": {"mobilenetv2": 8}, "training.iterations": 1, "training.backbone": "imagenet.pth"}
    toy.write_params(project, "student", changes)
    student.run("street", "mobilenetv2", "baseline", 0)
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("imagenet.pth")]
    assert told == ["imagenet.pth: 306 tensors loaded; 1 left out: classifier.1.weight"]


def test_hugging_face_student_stands_under_a_name_of_its_own(project, capfd):
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 2],
        sr_ratios=[1, 1, 1, 1],
        decoder_hidden_size=16,
    )
    transformers.SegformerForSemanticSegmentation(config).save_pretrained("model")
    toy.write_params(project, "student", {"widths": {"segformer": "hf:model"}, "training.iterations": 2})
    student.run("street", "segformer", "etc", 0)
    assert "hf:model: " in capfd.readouterr().err
    run = Path("data/street/students/segformer-etc-0")
    assert json.loads((run / "config.json").read_text())["architecture"] == "hf:model"
    network, _ = weights.load(run)
    assert network(torch.rand(1, 3, 32, 64)).logits.shape == (1, 9, 8, 16)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"pspnet18": 6}, "widths.pspnet18' = 6: give a base width, a multiple of 4 from 8 to 512, or hf:NAME"),
        ({"pspnet18": "segformer"}, "widths.pspnet18' = 'segformer': give a base width"),
        ({"pspnet18": "hf:"}, "widths.pspnet18' = 'hf:': give a base width"),
        ({"pspnet19": 8}, "unknown architecture 'pspnet19'; use one of pspnet18"),
    ],
)
def test_wrong_widths_are_named(widths, message, project):
    toy.write_params(project, "student", {"widths": widths})
    with pytest.raises(UserError, match=message):
        student.run("street", "pspnet18", "baseline", 0)
