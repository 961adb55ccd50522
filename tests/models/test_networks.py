"""Every architecture of the registry goes through the same tests."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from etc.errors import UserError
from etc.models.pspnet import PyramidPooling
from etc.models.registry import ARCHITECTURES, build

ASSETS = Path(__file__).parent / "assets"
# Parameters of torchvision's resnet18 ... resnet101 with their classifier of 1000 classes, as its documentation says.
TORCHVISION = {"pspnet18": 11_689_512, "pspnet34": 21_797_672, "pspnet50": 25_557_032, "pspnet101": 44_549_160}
# Parameters without the auxiliary head and multiply-accumulates at 1024 x 2048, 19 classes, width 64.
COUNTS = {
    "pspnet18": (13_804_371, 462_509_178_880),
    "pspnet34": (23_912_531, 800_737_853_440),
    "pspnet50": (46_591_571, 1_416_200_454_144),
    "pspnet101": (65_583_699, 2_036_823_228_416),
}


def on_meta(architecture, width=64):
    """The network without memory for its weights; it can compute shapes."""
    with torch.device("meta"):
        return build(architecture, 19, width).eval()


def multiply_accumulates(network, height, width):
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.in_channels * math.prod(module.kernel_size) // module.groups

    hooks = [x.register_forward_hook(count) for x in network.modules() if isinstance(x, torch.nn.Conv2d)]
    network(torch.empty(1, 3, height, width, device="meta"))
    for hook in hooks:
        hook.remove()
    return total


def seeded(architecture, seed=0, classes=4, width=8):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(architecture, classes, width)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
class TestArchitecture:
    @pytest.mark.parametrize("size", [(64, 96), (49, 67), (33, 40), (8, 8), (1, 1)])
    def test_output_shapes_in_evaluation(self, architecture, size):
        network = seeded(architecture).eval()
        with torch.no_grad():
            output = network(torch.rand(1, 3, *size))
        small = tuple(math.ceil(x / 8) for x in size)
        assert output.logits.shape == (1, 4, *small)
        assert output.features.shape == (1, network.classifier.in_channels, *small)
        assert output.auxiliary is None
        torch.testing.assert_close(network.classifier(output.features), output.logits)

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_training_step_reaches_every_parameter(self, architecture, memory_format):
        network = seeded(architecture).train().to(memory_format=memory_format)
        output = network(torch.rand(2, 3, 49, 67).contiguous(memory_format=memory_format))
        assert output.logits.shape == output.auxiliary.shape == (2, 4, 7, 9)
        assert output.logits.is_contiguous(memory_format=memory_format)
        (output.logits.square().mean() + output.auxiliary.square().mean()).backward()
        still = [name for name, x in network.named_parameters() if x.grad is None or not x.grad.isfinite().all()]
        assert not still

    def test_single_image_is_refused_in_training(self, architecture):
        with pytest.raises(UserError, match="batch size of at least 2"):
            seeded(architecture).train()(torch.rand(1, 3, 32, 32))

    def test_counts(self, architecture):
        network = on_meta(architecture)
        parameters = sum(x.numel() for name, x in network.named_parameters() if not name.startswith("auxiliary."))
        assert (parameters, multiply_accumulates(network, 1024, 2048)) == COUNTS[architecture]

    def test_backbone_has_the_parameters_of_torchvision(self, architecture):
        network = on_meta(architecture)
        classifier = network.backbone.channels[1] * 1000 + 1000
        assert sum(x.numel() for x in network.backbone.parameters()) + classifier == TORCHVISION[architecture]

    def test_state_is_frozen(self, architecture):
        """A renamed or reshaped parameter would make every saved network unreadable."""
        lines = [f"{name} {tuple(x.shape)}" for name, x in on_meta(architecture).state_dict().items()]
        assert lines == (ASSETS / f"{architecture}.txt").read_text().splitlines()

    def test_same_seed_same_weights(self, architecture):
        first, second, other = (seeded(architecture, seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])

    def test_normalises_inside(self, architecture):
        """An image of the mean colour is 0 inside, so that the stem's convolution gives exactly 0."""
        network = seeded(architecture).eval()
        seen = []
        network.backbone.conv1.register_forward_hook(lambda module, inputs, output: seen.append(output))
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        with torch.no_grad():
            network(mean.expand(1, 3, 16, 16))
        assert (seen[0] == 0).all()


def test_pspnet18_is_the_student_of_the_paper():
    """13.80 M parameters, 462.5 GMAC at 1024 x 2048 (Liu et al., ECCV 2020)."""
    parameters, operations = COUNTS["pspnet18"]
    assert f"{parameters / 1e6:.2f} {operations / 1e9:.1f}" == "13.80 462.5"


def test_export_computes_the_same():
    network = seeded("pspnet18").eval()
    image = torch.rand(1, 3, 40, 56)
    exported = torch.export.export(network, (image,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(image).logits, network(image).logits)


def test_evaluation_does_not_depend_on_the_rest_of_the_batch():
    network = seeded("pspnet18").double().eval()
    images = torch.rand(3, 3, 40, 56, dtype=torch.float64)
    with torch.no_grad():
        together, alone = network(images).logits, torch.cat([network(x[None]).logits for x in images])
    torch.testing.assert_close(together, alone)


def test_pyramid_appends_the_projected_block_means_in_order():
    pyramid = PyramidPooling(5, 2).double().eval()
    x = torch.rand(2, 5, 12, 18, dtype=torch.float64)
    with torch.no_grad():
        parts = pyramid(x).split([5, 2, 2, 2, 2], dim=1)
    assert torch.equal(parts[0], x)
    for part, bins, layer in zip(parts[1:], (1, 2, 3, 6), pyramid.bins, strict=True):
        means = x.reshape(2, 5, bins, 12 // bins, bins, 18 // bins).mean((3, 5))
        projected = torch.einsum("oc,bchw->bohw", layer[0].weight[:, :, 0, 0].detach(), means) / (1 + 1e-5) ** 0.5
        enlarged = F.interpolate(projected.relu(), size=(12, 18), mode="bilinear", align_corners=False)
        torch.testing.assert_close(part, enlarged)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pspnet19", 4), "unknown architecture 'pspnet19'; use one of pspnet18, pspnet34, pspnet50, pspnet101"),
        (("pspnet18", 0), "pspnet18: 0 classes"),
        (("pspnet18", 4, 0), "pspnet18: width 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        build(*arguments)
