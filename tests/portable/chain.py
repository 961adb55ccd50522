"""A piece of the chain, made in a process of its own: frames, flow, training, evaluation. Prints their hashes as JSON.

``python -m tests.portable.chain FOLDER [clip ...]``; a clip is a split and a number, e.g. ``dev:0``.
"""

import etc  # noqa: F401, I001  # before anything that loads NumPy

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from etc.core import portable
from etc.core.files import json_text
from etc.dataset import manifest
from etc.dataset.label_sets import label_set
from etc.flow.estimators.dis import Dis
from etc.flow.estimators.farneback import Farneback
from etc.inference import SegmentAveraged
from etc.models import weights
from etc.params.experiment import Run
from etc.models import registry
from etc.params.training import TrainingParams
from etc.sources.street.params import StreetParams
from etc.sources.street.street import generate_clip
from etc.stages import evaluate, student
from etc.training.cross_entropy import SegmentationLoss
from etc.training.objective import Objective
from etc.training.optimiser import learning_rate, make_optimiser
from tests.training import toy

SCHEMES = ("tl", "etc")


def frames(clips: list[str]) -> dict[str, str]:
    """Rendered frames with their labels and exact flow, and the flow that is computed from the first two of them."""
    made = {}
    for name in clips:
        split, number = name.split(":")
        clip = generate_clip(StreetParams(), split, int(number))
        exact = [part for key in sorted(clip.flows) for part in clip.flows[key]]
        made[f"frames {name}"] = _digest(part.tobytes() for part in (clip.images, clip.sources, *exact))
        for flow in (Dis(), Farneback()):
            made[f"{flow.name} {name}"] = _digest([flow(clip.images[0], clip.images[1]).tobytes()])
    return made


def training() -> dict[str, str]:
    """Weights and histories of three steps, what evaluation counts, and the scores that pseudo-labels are made from.

    In the current folder. The gradient is clipped, and the schemes hold every term.
    """
    toy.make(Path(), changes={"training.iterations": 3, "training.clip_gradient": 1.0})
    toy.make_teacher(Path())
    folder = Path("data/street")
    made = {}
    for scheme in SCHEMES:
        student.run("street", "pspnet18", scheme, 0)
        trained = folder / "students" / f"pspnet18-{scheme}-0"
        history = folder / "history" / f"pspnet18-{scheme}-0.parquet"
        for path in (trained / "weights.safetensors", trained / "config.json", history):
            made[f"{scheme} {path.name if path != history else 'history'}"] = _digest([path.read_bytes()])
    network, _ = weights.load(trained)
    pictures = np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("root/images/*.png"))[:2]])
    with torch.inference_mode():
        scores, _ = SegmentAveraged(network, (0.75, 1.0), flip=True).probabilities(torch.from_numpy(pictures))
    made["scores"] = _digest([scores.numpy().tobytes()])
    manifest.write(
        folder / "frames.parquet",
        manifest.read(folder / "frames.parquet").assign(split="test"),
        label_set("street"),
    )
    for judge in evaluate.JUDGES:
        shutil.copytree(folder / "flow/train", folder / "flow" / judge)
    shipped = yaml.safe_load((toy.ROOT / "params/evaluate.yaml").read_text())["street"]
    Path("params/evaluate.yaml").write_text(yaml.safe_dump({"street": shipped | {"device": "cpu"}}))
    for scheme in SCHEMES:
        evaluate.run("street", Run("pspnet18", scheme, 0))
        for path in sorted((folder / "evaluation" / f"pspnet18-{scheme}-0").iterdir()):
            content = path.read_bytes()
            if path.name == "made.json":
                # The costs beside it are counted from shapes; no processor changes them.
                content = json_text({"portable": json.loads(content)["portable"]}).encode()
            made[f"{scheme} {path.name}"] = _digest([content])
    return made


def adamw() -> dict[str, str]:
    """Weights after five steps of AdamW along random gradients, the learning rate following a cosine."""
    torch.manual_seed(0)
    network = registry.build("pspnet18", 9, 8).to(memory_format=torch.channels_last)
    block = yaml.safe_load((toy.ROOT / "params/student.yaml").read_text())["street"]["training"]
    settings = TrainingParams(**block | {"optimiser": "adamw", "schedule": "cosine", "warmup": 0, "lr": 0.05})
    optimiser = make_optimiser(Objective(network, SegmentationLoss(), {}, {}), settings)
    for step in range(5):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, 5, settings) * group["lr_factor"]
        for parameter in network.parameters():
            parameter.grad = torch.rand_like(parameter) - 0.5
        optimiser.step()
    return {"adamw": _digest(parameter.detach().numpy().tobytes() for parameter in network.parameters())}


def _digest(parts) -> str:
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    # Frames and flow do not need the settings that can be left out.
    print(json.dumps(frames(sys.argv[2:]) | (training() | adamw() if portable.IN_FORCE else {}), indent=2))
