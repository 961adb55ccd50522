"""The head of PSPNet against block means written out."""

import torch
import torch.nn.functional as F

from etc.models.pspnet import PyramidPooling


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
