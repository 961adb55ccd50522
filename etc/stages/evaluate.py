"""Stage ``evaluate``: judge one network frame by frame and keep counts, from which any table can be pooled."""

import zipfile
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from etc.core import portable
from etc.core.errors import UserError, many
from etc.core.files import atomic, read_json, write_json
from etc.core.progress import track
from etc.cost import cost
from etc.dataset.dataset import Dataset
from etc.evaluation.card import model_card
from etc.evaluation.consistency import PairResult
from etc.evaluation.counts import pair_records, write_counts
from etc.evaluation.iou import IouCounts, tp_fp_fn
from etc.evaluation.samples import BUNDLED, checked_list, clip_list, random_share, select
from etc.inference import Segment, choose_device, compiled
from etc.judging import judge_clip
from etc.models import weights
from etc.models.fused import fused
from etc.params import evaluate as params
from etc.params.experiment import Network, Run
from etc.training.determinism import set_determinism

# Flow and protocol of the TC in a model card.
CARD = ("evaluate", "corrected")
# Each flow of params/flow.yaml that TC is measured with, and its protocols.
JUDGES = {"evaluate": ("corrected", "occlusion_aware"), "compare": ("corrected",)}


def run(dataset: str, judged: Run | Network) -> str:
    """Write ``data/<dataset>/evaluation/<name>/``; return the closing line.

    - ``iou.parquet``: clip, frame, class, tp, fp, fn; one row per labelled frame of the split and class; no rows if
      no frame has a label.
    - ``tc.parquet``: clip, source, target, flow, protocol, same, counted, class, intersection, union; one row per pair
      of the sampled clips, flow (a purpose of params/flow.yaml), protocol and class; all classes of a pair repeat
      ``same`` and ``counted``; no rows if no clip has two frames, as with stills.
    - ``sample.npz``: clip, frames, predictions uint8 (K, H, W) of the first sampled clips.
    - ``README.md`` in the folder of the network: its model card.
    - ``made.json``: ``portable``, whether training and evaluation ran with the settings of :mod:`etc.core.portable`;
      ``parameters`` and ``gmac``, 1e9 multiply-accumulates of the split's largest frame, as ``etc networks`` counts.

    ``data/<dataset>/timing/<name>.json``, which no stage declares (``docs/decisions/timing-and-machine.md``), holds
    ``ms_per_frame``, the median over the forward passes, and the hash of the weights that it is about.

    Args:
        dataset: data set name.
        judged: a student, or the labeller or teacher of a chain.

    Raises:
        UserError: weights, frames or flow are missing or damaged, or the split has nothing to judge.
    """
    settings = params.load(dataset)
    set_determinism(0, settings.threads)
    name = judged.name
    data = Dataset(dataset)
    frames, label_set = data.frames, data.label_set
    clips = sorted(frames.loc[frames["split"] == settings.split, "clip"].unique())
    sampled = set(sample_clips(frames, settings.split, settings.sample))
    if not sampled:
        raise UserError(f"{data.manifest}: no clip in split '{settings.split}'; change 'split' in {params.PATH}")
    trained = data.folder / judged.folder
    network, config = weights.load(trained)
    device = choose_device(settings.device)
    # Before the fusion, which leaves out the parameters of batch normalisation.
    size = frames.loc[frames["split"] == settings.split, ["height", "width"]].max()
    parameters, operations = cost(network.to(device), (int(size["height"]), int(size["width"])))
    network = fused(network) if settings.fuse else network
    network = network.to(device, memory_format=torch.channels_last)
    network = compiled(Segment(network, half=True)) if settings.fast else network

    accuracy, consistency, samples, seconds = [], [], [], []
    for clip in track(clips, len(clips), f"evaluate {name}"):
        rows = frames[frames["clip"] == clip].to_dict("records")
        if clip not in sampled:
            # The sample is that of TC; accuracy is over all labelled frames.
            rows = [row for row in rows if row["label"]]
            if not rows:
                continue
        found = judge_clip(network, data, rows, settings.batch, JUDGES if clip in sampled else {}, seconds)
        accuracy += [_accuracy(clip, frame, confusion) for frame, confusion in found.confusions.items()]
        for judge, pairs in found.pairs.items():
            consistency += [{"flow": judge, **record} for pair in pairs for record in pair_records(pair)]
        if clip in sampled and len(samples) < settings.sample_clips and len(rows) > 1:
            samples.append((clip, found.frames, found.predictions))

    output = data.folder / "evaluation" / name
    if not accuracy and not consistency:
        where = f"{data.manifest}: no label and no two frames of a clip in split '{settings.split}'"
        raise UserError(f"{where}; change 'split' in {params.PATH}")
    none = np.zeros(label_set.count, np.int64)
    like = _accuracy("", 0, np.zeros((label_set.count, label_set.count), np.int64))
    write_counts(output / "iou.parquet", accuracy, label_set.count, like)
    (like,) = pair_records(PairResult("", 0, 0, {"": IouCounts(none, none, 0, 0)}))
    write_counts(output / "tc.parquet", consistency, label_set.count, {"flow": "", **like})
    with atomic(output / "sample.npz") as stream, zipfile.ZipFile(stream, "w") as archive:
        # As np.savez, whose headers depend on Python's version; deflated bytes depend on the zlib of the system.
        for key, array in _sample_arrays(samples).items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    same_bits = portable.IN_FORCE and device.type == "cpu" and config.get("portable") is True
    write_json(output / "made.json", {"portable": same_bits, "parameters": parameters, "gmac": operations / 1e9})
    seed = f"--seed {judged.seed}"
    how = f"student {dataset} {judged.options}" if isinstance(judged, Run) else f"{judged.kind} {dataset} {seed}"
    facts = {
        "made by": f"`etc {how}`; dvc.lock of the project has the hashes of its code, parameters and inputs",
        "parameters": f"{parameters:,}",
        "a frame": f"{operations / 1e9:.2f} GMAC at {int(size['height'])} x {int(size['width'])}",
    }
    if data.terms:
        facts["data"] = data.terms
    where = f"{dataset}, split {settings.split}"
    pairs = [one for one in consistency if (one["flow"], one["protocol"]) == CARD]
    with atomic(trained / "README.md", "w") as stream:
        stream.write(model_card(name, config, facts, accuracy, pairs, where))
    digest = read_json(trained / weights.CONFIG).get(weights.HASH)
    timing = {"ms_per_frame": round(1000 * median(seconds), 3), weights.HASH: digest}
    write_json(data.folder / "timing" / f"{name}.json", timing)
    return f"{name} judged on {many(len(sampled), 'clip')} ({settings.split}); counts in {output}"


def sample_clips(frames: pd.DataFrame, split: str, sample: params.Sample) -> list[str]:
    """Names of the clips whose TC is measured, sorted: those listed, or a fixed random share of the split's clips.

    Raises:
        UserError: a listed clip is not in the split.
    """
    names = frames.loc[frames["split"] == split, "clip"].unique()
    if sample.clips is None:
        return random_share(names, sample.share, sample.seed)
    source = f"{params.PATH}: sample.clips"
    wanted = clip_list(sample.clips) if sample.clips in BUNDLED else checked_list(sample.clips, source)
    return select(names, wanted, source)


def _accuracy(clip: str, frame: int, confusion: np.ndarray) -> dict[str, Any]:
    tp, fp, fn = tp_fp_fn(confusion)
    return {"clip": clip, "frame": frame, "tp": tp, "fp": fp, "fn": fn}


def _sample_arrays(samples: list[tuple[str, list[int], np.ndarray]]) -> dict[str, np.ndarray]:
    """The first clip under plain names, further ones with their number appended."""
    arrays = {}
    for number, (clip, frames, predictions) in enumerate(samples):
        suffix = str(number) if number else ""
        arrays |= {
            f"clip{suffix}": np.array(clip),
            f"frames{suffix}": np.asarray(frames, np.int32),
            f"predictions{suffix}": predictions,
        }
    return arrays
