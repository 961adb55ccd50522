"""The metrics of torchmetrics' interface give the figures of etc.metrics, in one process and in two."""

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from etc import metrics

theirs = pytest.importorskip("torchmetrics")
wrapped = pytest.importorskip("etc.torchmetrics")

CLASSES, CLIPS, FRAMES = 4, 4, 5


def clips():
    rng = np.random.default_rng(0)
    for _ in range(CLIPS):
        truth = rng.integers(0, CLASSES, (12, 16))
        yield [(np.where(rng.random(truth.shape) < 0.8, truth, 1), truth) for _ in range(FRAMES)]


def made(module):
    return [
        module.TemporalConsistency(CLASSES),
        module.TemporalConsistency(CLASSES, protocol="vspw_released"),
        module.FlipRate(),
        module.VideoConsistency(3),
        module.VideoConsistency(3, protocol="vspw_released"),
    ]


def fed(found, chosen):
    still = np.zeros((12, 16, 2), np.float32)
    for clip in chosen:
        for metric in found:
            metric.new_clip()
        for prediction, truth in clip:
            for metric in found[:3]:
                metric.update(torch.from_numpy(prediction), flow=torch.from_numpy(still))
            for metric in found[3:]:
                metric.update(torch.from_numpy(prediction), truth)
    return found


def figures(found):
    values = [one.compute() for one in found]
    return [
        np.hstack([np.ravel(part) for part in (one.values() if isinstance(one, dict) else [one])]) for one in values
    ]


def test_one_process():
    expected = figures(fed(made(metrics), clips()))
    found = fed(made(wrapped), clips())
    assert all(isinstance(one, theirs.Metric) for one in found)
    for _ in range(2):  # a second look changes nothing
        for one, other in zip(figures(found), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    for metric in found:
        metric.reset()
    assert all(np.isnan(one).all() for one in figures(found))
    for one, other in zip(figures(fed(found, clips())), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_calling_a_metric_updates_it():
    metric = wrapped.TemporalConsistency(CLASSES)
    still = np.zeros((4, 4, 2))
    assert metric(np.ones((4, 4), int)) is None and metric(np.ones((4, 4), int), flow=still) is None
    assert metric.compute()["tc"] == 1


def _process(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = fed(made(wrapped), list(clips())[rank::2])
    np.savez(f"{folder}/{rank}.npz", *figures(found), *figures(found))
    distributed.destroy_process_group()


def test_two_processes_add_up(tmp_path):
    multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    expected = 2 * figures(fed(made(metrics), clips()))
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            for name, one in zip(found.files, expected, strict=True):
                np.testing.assert_allclose(found[name], one, rtol=1e-12)
