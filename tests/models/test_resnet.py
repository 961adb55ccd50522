"""The backbone against a plain ResNet written with functions, strided as torchvision's."""

import pytest
import torch
import torch.nn.functional as F

from etc.models.resnet import BLOCKS, ResNet

LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def strided_resnet(state, image, depth):
    """layer3 and layer4 of torchvision's ResNet in evaluation mode, output stride 16 and 32, from its weights."""

    def norm(x, name):
        parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = F.relu(norm(conv(image, "conv1", 2), "bn1"))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    maps = []
    for number, count in enumerate(LAYERS[depth], 1):
        for block in range(count):
            name = f"layer{number}.{block}"
            stride = 2 if number > 1 and block == 0 else 1
            y = x
            for k in range(1, 3 if depth < 50 else 4):
                strided = k == (1 if depth < 50 else 2)
                y = norm(conv(y, f"{name}.conv{k}", stride if strided else 1), f"{name}.bn{k}")
                y = y if k == (2 if depth < 50 else 3) else F.relu(y)
            if f"{name}.downsample.0.weight" in state:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = F.relu(x + y)
        maps.append(x)
    return maps[2], maps[3]


@pytest.mark.parametrize("depth", BLOCKS)
def test_every_second_and_fourth_pixel_is_that_of_the_strided_network(depth):
    torch.manual_seed(0)
    network = ResNet(depth, width=4).double().eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_var", "bn1.weight", "bn2.weight", "bn3.weight", "downsample.1.weight")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
    image = torch.randn(1, 3, 101, 133, dtype=torch.float64)
    with torch.no_grad():
        layer3, layer4 = network(image)
        expected3, expected4 = strided_resnet(network.state_dict(), image, depth)
    assert layer3.shape[-2:] == layer4.shape[-2:] == (13, 17)
    torch.testing.assert_close(layer3[..., ::2, ::2], expected3)
    torch.testing.assert_close(layer4[..., ::4, ::4], expected4)
    assert expected4.abs().max() > 0
