"""Damaged networks: noticed in one line, or read as finite weights of the network's shapes; never a traceback."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from etc.core.errors import UserError
from etc.models import weights
from tests.models.build import seeded, shake

pytestmark = pytest.mark.filterwarnings("error")
ARCHITECTURE = "mobilenetv2"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a small network and its state."""
    folder = tmp_path_factory.mktemp("run")
    network = shake(seeded(ARCHITECTURE, classes=3))
    weights.save(folder, network, {"architecture": ARCHITECTURE, "classes": 3, "width": 8, "class_names": list("abc")})
    return folder, network.state_dict()


def damaged(content, rng, header):
    """Flip one to three bits, replace a byte, or cut the end off; half of the time in the first ``header`` bytes."""
    reach = header if rng.random() < 0.5 else len(content)
    copy, kind = bytearray(content), rng.integers(4)
    if kind == 0:
        return content[: rng.integers(reach)]
    if kind == 1:
        copy[rng.integers(reach)] = rng.integers(256)
    else:
        for _ in range(rng.integers(1, 4)):
            copy[rng.integers(reach)] ^= 1 << rng.integers(8)
    return bytes(copy)


def assert_one_line(error, path):
    assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 1000


@pytest.mark.parametrize("hashed", [True, False])
def test_damaged_weights(run, hashed, tmp_path):
    """With the hash of config.json all damage is noticed; without it, as in folders of before, what can be."""
    folder, state = run
    content = (folder / weights.WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    described = json.loads((folder / weights.CONFIG).read_text())
    if not hashed:
        del described[weights.HASH]
    (tmp_path / weights.CONFIG).write_text(json.dumps(described))
    path, rng, noticed = tmp_path / weights.WEIGHTS, np.random.default_rng(0), 0
    target = seeded(ARCHITECTURE, classes=3)
    for _ in range(150):
        wrong = damaged(content, rng, header)
        path.write_bytes(wrong)
        try:
            weights.load_start(target, tmp_path)
        except UserError as error:
            noticed += 1
            assert_one_line(error, path)
        else:
            assert wrong == content or not hashed
            values = target.state_dict()
            assert {name: x.shape for name, x in values.items()} == {name: x.shape for name, x in state.items()}
            assert all(bool(x.isfinite().all()) for x in values.values())
    assert noticed > 75


def test_damaged_configs(run, tmp_path):
    folder, state = run
    content = (folder / weights.CONFIG).read_bytes()
    (tmp_path / weights.WEIGHTS).write_bytes((folder / weights.WEIGHTS).read_bytes())
    rng, noticed = np.random.default_rng(1), 0
    for _ in range(100):
        (tmp_path / weights.CONFIG).write_bytes(damaged(content, rng, len(content)))
        try:
            network, _ = weights.load(tmp_path)
        except UserError as error:
            noticed += 1
            assert "\n" not in str(error) and len(str(error)) < 1000
        else:
            assert all(torch.equal(x, state[name]) for name, x in network.state_dict().items())
    assert noticed > 40


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_backbones(run, suffix, tmp_path):
    """A .pth is an archive with checksums, which torch does not compare: it is read as it was or noticed."""
    state = shake(seeded(ARCHITECTURE, seed=1)).backbone.state_dict()
    path = tmp_path / f"imagenet.{suffix}"
    torch.save(state, path) if suffix == "pth" else safetensors.torch.save_file(state, path)
    content, rng = path.read_bytes(), np.random.default_rng(2)
    target = seeded(ARCHITECTURE, classes=3)
    for _ in range(60):
        path.write_bytes(damaged(content, rng, len(content) // 10))
        try:
            weights.load_backbone(target, path)
        except UserError as error:
            assert_one_line(error, path)
        else:
            values = target.backbone.state_dict()
            assert all(bool(x.isfinite().all()) for x in values.values())
            assert suffix != "pth" or all(torch.equal(x, state[name]) for name, x in values.items())
