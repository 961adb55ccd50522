"""Every architecture of the registry goes through the same tests."""

import math
from pathlib import Path

import pytest
import torch

from etc.core.errors import UserError
from etc.models.names import NETWORKS
from etc.models.registry import ARCHITECTURES, build
from tests.models.build import on_meta, seeded, shake

ASSETS = Path(__file__).parent / "assets"
# Parameters without auxiliary heads and multiply-accumulates at 1024 x 2048, 19 classes, width 64.
COUNTS = {
    "pspnet18": (13_804_371, 462_509_178_880),
    "pspnet34": (23_912_531, 800_737_853_440),
    "pspnet50": (46_591_571, 1_416_200_454_144),
    "pspnet101": (65_583_699, 2_036_823_228_416),
    "mobilenetv2": (2_113_043, 20_826_898_432),
    "hrnet_w18_small": (3_939_309, 76_856_885_248),
    "bisenetv2": (3_358_627, 98_413_199_360),
    "efficientnet_lite0": (3_052_147, 16_023_736_320),
    "efficientnet_lite0_os16": (3_052_147, 29_467_987_968),
    "efficientnet_lite0_os8": (3_052_147, 100_682_158_080),
    "efficientnet_lite1": (3_816_819, 20_925_566_976),
    "efficientnet_lite1_os16": (3_816_819, 37_264_674_816),
    "efficientnet_lite1_os8": (3_816_819, 126_164_127_744),
    "efficientnet_lite2": (4_458_419, 23_961_540_608),
    "efficientnet_lite2_os16": (4_458_419, 43_069_773_824),
    "efficientnet_lite2_os8": (4_458_419, 146_908_682_240),
}


def bottleneck(inputs, planes):
    """Parameters of a bottleneck block that widens to four times its planes."""
    wide = 4 * planes
    weights = inputs * planes + 9 * planes**2 + planes * wide + inputs * wide
    return weights + 2 * (planes + planes + wide + wide)


def linear(inputs, outputs):
    return inputs * outputs + outputs


# What the ImageNet network of the same backbone has more: its classifier of 1000 classes and what leads to it. HRNet
# widens each resolution, halves and adds it to the next, and widens the last once more.
IMAGENET_HEADS = {
    "pspnet18": linear(512, 1000),
    "pspnet34": linear(512, 1000),
    "pspnet50": linear(2048, 1000),
    "pspnet101": linear(2048, 1000),
    "mobilenetv2": 320 * 1280 + 2 * 1280 + linear(1280, 1000),
    "hrnet_w18_small": sum(bottleneck(18 << k, 32 << k) for k in range(4))
    + sum(linear(9 * (128 << k), 256 << k) + 2 * (256 << k) for k in range(3))
    + linear(1024, 2048)
    + 2 * 2048
    + linear(2048, 1000),
    **{f"efficientnet_lite{k}": (320, 320, 352)[k] * 1280 + 2 * 1280 + linear(1280, 1000) for k in range(3)},
}
# Parameters of torchvision's networks as its documentation says (num_params), of HRNet-W18-C-Small-v2 as in the
# authors' repository HRNet-Image-Classification, which says 15.6 M, and of the tensors of the packages' files.
IMAGENET_TOTALS = {
    "pspnet18": 11_689_512,
    "pspnet34": 21_797_672,
    "pspnet50": 25_557_032,
    "pspnet101": 44_549_160,
    "mobilenetv2": 3_504_872,
    "hrnet_w18_small": 15.6e6,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
}


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


def first_convolution(network):
    return next(module for module in network.backbone.modules() if isinstance(module, torch.nn.Conv2d))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
class TestArchitecture:
    @pytest.mark.parametrize("size", [(64, 96), (49, 67), (33, 40), (8, 8), (1, 1)])
    def test_output_shapes_in_evaluation(self, architecture, size):
        network = seeded(architecture).eval()
        with torch.no_grad():
            output = network(torch.rand(1, 3, *size))
        small = tuple(math.ceil(x / ARCHITECTURES[architecture].stride) for x in size)
        assert output.logits.shape == (1, 4, *small)
        assert output.features.shape == (1, network.classifier.in_channels, *small)
        assert output.auxiliary == ()
        torch.testing.assert_close(network.classifier(output.features), output.logits)

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_training_step_reaches_every_parameter(self, architecture, memory_format):
        network = seeded(architecture).train().to(memory_format=memory_format)
        output = network(torch.rand(2, 3, 49, 67).contiguous(memory_format=memory_format))
        stride = ARCHITECTURES[architecture].stride
        assert output.logits.shape == (2, 4, math.ceil(49 / stride), math.ceil(67 / stride))
        assert output.logits.is_contiguous(memory_format=memory_format)
        assert all(head.shape[:2] == (2, 4) for head in output.auxiliary)
        assert bool(output.auxiliary) == hasattr(network, "auxiliary")
        sum(x.square().mean() for x in (output.logits, *output.auxiliary)).backward()
        still = [name for name, x in network.named_parameters() if x.grad is None or not x.grad.isfinite().all()]
        assert not still

    def test_trains_on_one_pixel(self, architecture):
        output = seeded(architecture).train()(torch.rand(2, 3, 1, 1))
        assert output.logits.shape == (2, 4, 1, 1) and output.logits.isfinite().all()

    def test_single_image_is_refused_in_training(self, architecture):
        with pytest.raises(UserError, match="batch size of at least 2"):
            seeded(architecture).train()(torch.rand(1, 3, 32, 32))

    def test_memory_layout_and_batch_change_nothing(self, architecture):
        network = shake(seeded(architecture)).double().eval()
        images = torch.rand(3, 3, 40, 56, dtype=torch.float64)
        with torch.no_grad():
            alone = torch.cat([network(image[None]).logits for image in images])
            together = network.to(memory_format=torch.channels_last)(
                images.contiguous(memory_format=torch.channels_last)
            )
        torch.testing.assert_close(together.logits, alone)
        assert alone.std() > 0

    def test_runs_in_bfloat16(self, architecture):
        """All weights and maps in bfloat16, whose spacing is 1/256."""
        network = shake(seeded(architecture)).eval()
        image = torch.rand(1, 3, 49, 67)
        with torch.no_grad():
            expected = network(image).logits
            half = network.to(torch.bfloat16)(image.to(torch.bfloat16)).logits
        assert half.dtype == torch.bfloat16
        assert (half - expected).abs().mean() < 0.05 * expected.abs().mean()

    def test_counts(self, architecture):
        network = on_meta(architecture)
        parameters = sum(x.numel() for name, x in network.named_parameters() if not name.startswith("auxiliary."))
        assert (parameters, multiply_accumulates(network, 1024, 2048)) == COUNTS[architecture]

    def test_backbone_has_the_parameters_of_the_imagenet_network(self, architecture):
        if architecture not in IMAGENET_TOTALS:
            pytest.skip("trained from random weights, or the same but for dilation")
        own = sum(x.numel() for x in on_meta(architecture).backbone.parameters())
        published = IMAGENET_TOTALS[architecture]
        assert own + IMAGENET_HEADS[architecture] == pytest.approx(published, abs=0 if published % 1e5 else 0.05e6)

    def test_state_is_frozen(self, architecture):
        """A renamed or reshaped parameter would make every saved network unreadable."""
        lines = [f"{name} {tuple(x.shape)}" for name, x in on_meta(architecture).state_dict().items()]
        assert lines == (ASSETS / f"{architecture.partition('_os')[0]}.txt").read_text().splitlines()

    def test_same_seed_same_weights(self, architecture):
        first, second, other = (seeded(architecture, seed) for seed in (3, 3, 4))
        pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
        assert all(torch.equal(x, y) for x, y in pairs)
        assert not torch.equal(first_convolution(first).weight, first_convolution(other).weight)

    def test_normalises_inside(self, architecture):
        """An image of the mean colour is 0 inside, so that the first convolution gives exactly 0."""
        network = seeded(architecture).eval()
        seen = []
        first_convolution(network).register_forward_hook(lambda module, inputs, output: seen.append(output))
        lite = architecture.startswith("efficientnet_lite")
        mean = torch.tensor([127 / 255] * 3 if lite else [0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        with torch.no_grad():
            network(mean.expand(1, 3, 16, 16))
        assert (seen[0] == 0).all()
        # One deviation above it is 1.
        std = torch.tensor([128 / 255] * 3 if lite else [0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        torch.testing.assert_close(network.normalise(mean + std), torch.ones(1, 3, 1, 1))

    def test_wider_networks_cost_more(self, architecture):
        parameters = [sum(x.numel() for x in on_meta(architecture, width).parameters()) for width in (16, 32, 64, 96)]
        assert parameters == sorted(set(parameters))

    def test_export_computes_the_same(self, architecture):
        if architecture in ("pspnet34", "pspnet101") or architecture.startswith(
            ("efficientnet_lite1", "efficientnet_lite2")
        ):
            pytest.skip("the same blocks as in a smaller one, more of them")
        network = shake(seeded(architecture)).eval()
        image = torch.rand(1, 3, 40, 56)
        exported = torch.export.export(network, (image,)).module()
        with torch.no_grad():
            torch.testing.assert_close(exported(image).logits, network(image).logits)


def test_pspnet18_is_the_student_of_the_paper():
    """13.80 M parameters, 462.5 GMAC at 1024 x 2048 (Liu et al., ECCV 2020)."""
    parameters, operations = COUNTS["pspnet18"]
    assert f"{parameters / 1e6:.2f} {operations / 1e9:.1f}" == "13.80 462.5"


def test_mobilenetv2_is_the_one_of_the_mobilenetv3_paper():
    """V2, R-ASPP, 256 filters: 2.11 M parameters, 21.29 G at full resolution (Howard et al., ICCV 2019, table 7).

    That code pads its images to 1025 x 2049 pixels, which makes a map of 65 x 129 out of one of 64 x 128.
    """
    assert f"{COUNTS['mobilenetv2'][0] / 1e6:.2f}" == "2.11"
    assert multiply_accumulates(on_meta("mobilenetv2"), 1025, 2049) == pytest.approx(21.29e9, rel=0.005)


def test_hrnet_is_the_small_one_of_its_authors():
    """HRNetV2-W18-Small-v2: 3.9 M parameters, 71.6 GFLOPs at 1024 x 2048 (README of HRNet-Semantic-Segmentation).

    Their counter (lib/utils/modelsummary.py) counts multiply-accumulates in units of 1024^3.
    """
    parameters, operations = COUNTS["hrnet_w18_small"]
    assert f"{parameters / 1e6:.1f} {operations / 1024**3:.1f}" == "3.9 71.6"


def test_names_are_those_of_the_registry():
    assert tuple(ARCHITECTURES) == NETWORKS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pspnet19", 4), "unknown architecture 'pspnet19'; use one of pspnet18, pspnet34, .*, or hf:NAME"),
        (("pspnet18", 0), "pspnet18: 0 classes"),
        (("pspnet18", 4, 7), "pspnet18: width 7; use at least 8"),
        (("pspnet18", 4, None), "pspnet18: width None"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        build(*arguments)
