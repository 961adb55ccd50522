"""RAFT: our own part with a network in torchvision's place, and torchvision itself where it can be imported."""

import hashlib
import sys
import types

import numpy as np
import pytest
import torch

from etc.core.errors import UserError
from etc.flow.estimators import raft
from etc.flow.methods import build


class Network(torch.nn.Module):
    """Answers with flows made from its input: u is the red of the first frame, v the blue of the second."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))
        self.calls = []

    def forward(self, image1, image2, num_flow_updates=12):
        self.calls.append((tuple(image1.shape), float(image1.min()), float(image1.max()), self.training))
        flow = self.gain * torch.stack([image1[:, 0], image2[:, 2]], 1)
        return [flow * (step + 1) / num_flow_updates for step in range(num_flow_updates)]


@pytest.fixture
def networks(monkeypatch):
    """torchvision replaced by a module that builds the network above."""
    made = []

    def builder(weights, progress):
        assert weights is None
        made.append(Network())
        return made[-1]

    package, models = types.ModuleType("torchvision"), types.ModuleType("torchvision.models")
    models.optical_flow = types.SimpleNamespace(raft_small=builder, raft_large=builder)
    package.models, package.__version__ = models, "0.0"
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    return made


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"gain": torch.tensor([2.0])}, path)
    return path


def frames(height, width):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(2)]


@pytest.mark.parametrize(("height", "width", "padded"), [(128, 256, (128, 256)), (100, 203, (128, 208))])
def test_frames_go_in_padded_from_minus_one_to_one_and_the_last_flow_comes_out(
    networks, weights, height, width, padded
):
    first, second = frames(height, width)
    first[0, 0], first[0, 1] = 0, 255
    method = build("raft", weights=weights, size="small", iterations=3, device="cpu")
    flow = method(first, second)
    assert flow.shape == (height, width, 2) and flow.dtype == np.float32
    expected = 2 * (np.stack([first[..., 0], second[..., 2]], -1) / 127.5 - 1)
    np.testing.assert_allclose(flow, expected, atol=1e-5)
    assert networks[0].calls == [((1, 3, *padded), -1.0, 1.0, False)]


def test_the_key_holds_the_weights_and_the_options(networks, weights):
    method = build("raft", weights=weights, size="small", device="cpu")
    assert method.parameters == {"size": "small", "iterations": 12}
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert digest[:32] in method.version and torch.__version__ in method.version and "cpu" in method.version
    torch.save({"gain": torch.tensor([3.0])}, weights)
    assert build("raft", weights=weights, size="small", device="cpu").version != method.version
    with pytest.raises(UserError, match=f"{weights}.*expected {digest[:8]}"):
        build("raft", weights=weights, checksum=digest[:8])


def test_download_asks_for_torchvisions_file_and_its_checksum(networks, weights, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(raft, "download", lambda *arguments: asked.append(arguments) or weights)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build("raft", size="large")
    ((url, path, checksum),) = asked
    assert url == "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth"
    assert path == tmp_path / "etc-segmentation" / "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
    assert checksum == "ff5fadd5"


def test_wrong_requests_are_refused(networks, weights, tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    cases = [
        ({"size": "huge"}, "no size 'huge'"),
        ({"iterations": 0}, "at least 1 iteration"),
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"weights": tmp_path / "nowhere.pth"}, r"nowhere\.pth: no such file"),
        ({"weights": tmp_path / "text.pth"}, r"text\.pth: not the weights of torchvision"),
        ({"weights": tmp_path / "other.pth"}, r"other\.pth: not the weights of torchvision"),
    ]
    for changed, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            build("raft", **{"weights": weights, "size": "small", **changed})
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="one size"):
        build("raft", weights=weights)(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 8, 3), np.uint8))


@pytest.mark.parametrize(
    "failure", [ImportError("No module"), RuntimeError("operator torchvision::nms does not exist\nx")]
)
def test_a_missing_or_unfit_torchvision_is_explained(monkeypatch, weights, failure):
    class Refuses:
        def find_spec(self, name, path=None, target=None):
            if name == "torchvision":
                raise failure

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    with pytest.raises(UserError, match=r"RAFT needs torchvision.*pip install 'etc-segmentation\[raft\]'") as caught:
        build("raft", weights=weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", ["small", "large"])
def test_torchvision_itself(tmp_path, size):
    """The same bits as torchvision with its own preprocessing, on a frame that needs no padding."""
    try:
        from torchvision.models import optical_flow
    except (ImportError, RuntimeError):
        pytest.skip("no torchvision that fits this torch")
    torch.manual_seed(0)
    network = getattr(optical_flow, f"raft_{size}")(weights=None, progress=False).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    first, second = frames(128, 136)
    defaults = {"small": optical_flow.Raft_Small_Weights.DEFAULT, "large": optical_flow.Raft_Large_Weights.DEFAULT}[
        size
    ]
    inputs = [torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in (first, second)]
    with torch.no_grad():
        expected = network(*defaults.transforms()(*inputs), num_flow_updates=2)[-1][0].permute(1, 2, 0).numpy()
    method = build("raft", weights=tmp_path / "weights.pth", size=size, iterations=2, device="cpu")
    np.testing.assert_allclose(method(first, second), expected, atol=1e-5)
    assert defaults.url == raft._URL.format(raft._FILES[size])
