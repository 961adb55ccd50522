"""The metrics as classes give the figures of ``etc tc``, on NumPy and torch, in one piece or in several."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from etc.cli import app
from etc.core.errors import UserError
from etc.measure.vc import WindowCounter, mean_video_consistency, released_video_consistency
from etc.metrics import FlipRate, TemporalConsistency, VideoConsistency
from tests.commands import world

CLIPS, NUMBERS, CLASSES = ("a", "b"), range(5), 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = world.make(tmp_path_factory.mktemp("world"), CLIPS, NUMBERS, flow=False, wrong=0.2, name="ids")
    arguments = ["--predictions", str(folder / "ids"), "--frames", str(folder / "frames"), "--workers", "1"]
    result = CliRunner().invoke(app, ["tc", *arguments, "--json", str(folder / "tc.json")])
    assert result.exit_code == 0, result.output
    return folder, json.loads((folder / "tc.json").read_text())


def frames(folder, clip):
    for number in NUMBERS:
        ids = cv2.imread(str(folder / f"ids/{clip}/{number:04d}.png"), cv2.IMREAD_UNCHANGED)
        yield ids, cv2.imread(str(folder / f"frames/{clip}/{number:04d}.png"))[..., ::-1]


def run(metric, folder, clips=CLIPS, take=lambda ids, image: (ids, image)):
    for clip in clips:
        metric.new_clip()
        for ids, image in frames(folder, clip):
            metric.update(*take(ids, image))
    return metric


def tensors(ids, image):
    return torch.from_numpy(ids).long(), torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("take", [lambda ids, image: (ids, image), tensors], ids=["numpy", "torch"])
def test_the_figures_are_those_of_etc_tc(folders, take):
    folder, figures = folders
    found = run(TemporalConsistency(figures["classes"]), folder, take=take).compute()
    assert found["tc"] == pytest.approx(figures["tc"], abs=1e-12) and 0 < found["tc"] < 1
    assert found["agreement"] == pytest.approx(figures["agreement"], abs=1e-12)
    expected = [np.nan if one is None else one for one in figures["per_class"].values()]
    np.testing.assert_allclose(found["per_class"], expected, rtol=0, atol=1e-12)
    assert run(FlipRate(), folder, take=take).compute() == pytest.approx(figures["flip_rate"], abs=1e-12)


def test_parts_are_merged_and_forgotten(folders):
    folder, figures = folders
    for make in (lambda: TemporalConsistency(figures["classes"]), FlipRate):
        whole = run(make(), folder).compute()
        first, second = (run(make(), folder, [clip]) for clip in CLIPS)
        first.merge(second)
        first.merge(make())
        np.testing.assert_equal(first.compute(), whole)
        first.reset()
        np.testing.assert_equal(first.compute(), make().compute())
        np.testing.assert_equal(run(first, folder).compute(), whole)


def test_flow_that_is_given_is_used():
    still = np.zeros((8, 8, 2), np.float32)
    metric, flips = TemporalConsistency(2), FlipRate()
    for number in range(3):
        ids = np.zeros((8, 8), np.int64)
        ids[:, :4] = number % 2
        for one in (metric, flips):
            one.update(ids, flow=torch.from_numpy(still).permute(2, 0, 1) if number % 2 else still)
        # The caller's array may be used again.
        ids[:] = 9
    # Half of the pixels change their class in each pair: class 0 agrees in 32 of 64, class 1 nowhere.
    assert metric.compute()["tc"] == pytest.approx(0.25) and metric.compute()["agreement"] == 0.5
    assert flips.compute() == 0.5


def test_a_new_clip_is_not_compared_with_the_last():
    metric = TemporalConsistency(2, flow=lambda first, second: np.zeros((*first.shape[:2], 2), np.float32))
    image = np.zeros((4, 4, 3), np.uint8)
    metric.update(np.zeros((4, 4), np.uint8), image)
    metric.new_clip()
    metric.update(np.ones((4, 4), np.uint8), image)
    assert np.isnan(metric.compute()["tc"])
    metric.update(np.ones((4, 4), np.uint8), image)
    assert metric.compute()["tc"] == 1.0


@pytest.mark.parametrize(
    ("protocol", "joined"), [("paper", mean_video_consistency), ("vspw_released", released_video_consistency)]
)
def test_windows_are_those_of_etc_tc(protocol, joined):
    rng = np.random.default_rng(0)
    metric, counted = VideoConsistency(3, protocol), []
    for _ in range(2):
        metric.new_clip()
        counter = WindowCounter([3])
        truth = rng.integers(0, 3, (6, 6)).astype(np.uint8)
        for _ in range(5):
            prediction = np.where(rng.random((6, 6)) < 0.8, truth, 1).astype(np.uint8)
            metric.update(torch.from_numpy(prediction), truth)
            counter.add(prediction, truth)
        counted.append(counter.counts(3))
    assert metric.compute() == joined(counted)
    other = VideoConsistency(3, protocol)
    other.merge(metric)
    assert other.compute() == metric.compute() and 0 < other.compute() < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.update(np.zeros((4, 4), np.float32)), r"integers \(H, W\), not float32 \(4, 4\); take the argmax"),
        (lambda m: m.update(np.full((4, 4), 300)), "found 300 to 300"),
        (lambda m: [m.update(np.zeros((4, 4), int)) for _ in range(2)], "give the frame with each prediction"),
        (lambda m: m.update(np.zeros((4, 4), int), np.zeros((5, 4, 3), np.uint8)), "of the prediction's size"),
        (lambda m: [m.update(np.zeros((4, n), int)) for n in (4, 5)], r"follows one of .*call new_clip\(\)"),
        (lambda m: m.merge(TemporalConsistency(3)), "same classes and protocol"),
        (
            lambda m: VideoConsistency(3).merge(VideoConsistency(4)),
            r"VC_3 \(paper\) and VC_4 \(paper\) cannot be merged",
        ),
        (lambda m: VideoConsistency(3).update(np.zeros((4, 4), int), np.zeros((4, 5), int)), "beside a truth of"),
        (lambda m: TemporalConsistency(2, flow="nothing"), "unknown flow method 'nothing'"),
        (lambda m: m.update(np.full((4, 4), 2)), "class id 2, but there are 2 classes"),
        (lambda m: m.update(np.zeros((4, 4), int), np.full((4, 4, 3), 200.0)), "in 0..1, this one has 200 to 200"),
        (lambda m: m.update(np.zeros((4, 4), int), np.full((4, 4, 3), np.nan)), "in 0..1, this one has nan"),
        (lambda m: m.merge(FlipRate()), "a TemporalConsistency and a FlipRate cannot be merged"),
        (lambda m: FlipRate().merge(m), "a FlipRate and a TemporalConsistency cannot be merged"),
        (lambda m: TemporalConsistency(0), "classes: 0 is no number"),
        (lambda m: TemporalConsistency("19"), "classes: '19' is no number"),
        (lambda m: VideoConsistency(2.5), "length: 2.5 is no number"),
    ],
)
def test_a_mistake_says_what_to_do(call, message):
    with pytest.raises(UserError, match=message):
        call(TemporalConsistency(2))


def test_a_frame_that_was_refused_is_not_taken():
    still = np.zeros((4, 4, 2), np.float32)
    metric = TemporalConsistency(2)
    for ids in (0, 2, 0, 0):
        with pytest.raises(UserError) if ids == 2 else contextlib.nullcontext():
            metric.update(np.full((4, 4), ids), flow=still)
    assert metric.compute()["tc"] == 1.0


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_other_types_are_taken(kind):
    metric = TemporalConsistency(2)
    for _ in range(2):
        metric.update(
            torch.zeros(4, 4, dtype=int), torch.full((3, 4, 4), 0.5, dtype=kind), torch.zeros(2, 4, 4).to(kind)
        )
    assert metric.compute()["tc"] == 1.0


def test_torch_is_not_loaded():
    code = "import sys, etc.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0


def test_flow_is_computed_on_one_thread_as_etc_tc_does():
    seen, before = [], cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:

        def estimate(first, second):
            seen.append(cv2.getNumThreads())
            return np.zeros((*first.shape[:2], 2), np.float32)

        metric = TemporalConsistency(2, flow=estimate)
        for _ in range(2):
            metric.update(np.zeros((4, 4), int), np.zeros((4, 4, 3), np.uint8))
        assert seen == [1] and cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
