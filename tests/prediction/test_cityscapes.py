"""Exported predictions, judged by the real cityscapesscripts and by us."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.dataset.label_sets import CITYSCAPES, STREET, LabelSet
from etc.evaluation.iou import class_ratio, confusion_matrix, iou_counts, mean_ratio, tp_fp_fn
from etc.prediction.cityscapes import OFFICIAL, SUFFIX, write_label_ids
from etc.sources.cityscapes.cityscapes import TRAIN_IDS, Cityscapes
from etc.sources.cityscapes.params import CityscapesParams
from tests.real_data import DATA

HEIGHT, WIDTH = 48, 96
BUS, TRAIN, TRUCK, WALL = (CITYSCAPES.names.index(name) for name in ("bus", "train", "truck", "wall"))


def _row(number: int, height: int = HEIGHT, width: int = WIDTH) -> dict:
    image = f"leftImg8bit/val/munster/munster_000000_{number:06d}_leftImg8bit.png"
    return {"image": image, "height": height, "width": width}


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def _officially(root: Path, results: Path) -> dict:
    """What the tool's own main function finds, without colours and with every digit."""
    (results.parent / "scores").mkdir(exist_ok=True)
    places = {"DATASET": root, "RESULTS": results, "EXPORT_DIR": results.parent / "scores"}
    subprocess.run(
        [sys.executable, "-c", OFFICIAL],
        env=os.environ | {f"CITYSCAPES_{name}": str(path) for name, path in places.items()},
        check=True,
        capture_output=True,
        timeout=60,
    )
    return json.loads((results.parent / "scores" / "resultPixelLevelSemanticLabeling.json").read_text())


def _plate_on_a_car(root: Path, number: int) -> np.ndarray:
    """A label file that the official tool draws from polygons: a licence plate (id -1) on a car, on a road."""
    drawing = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    stem = root / "gtFine/val/munster" / f"munster_000000_{number:06d}_gtFine"
    stem.parent.mkdir(parents=True, exist_ok=True)

    def box(label, left, top, right, bottom):
        return {"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}

    objects = [box("road", 0, 20, 95, 47), box("car", 30, 10, 60, 40), box("license plate", 40, 30, 50, 35)]
    polygons = stem.with_name(f"{stem.name}_polygons.json")
    polygons.write_text(json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": objects}))
    path = stem.with_name(f"{stem.name}_labelIds.png")
    drawing.json2labelImg(str(polygons), str(path), "ids")
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def judged(tmp_path):
    """Labels as we read them and predictions of four frames, and what the tool says of them."""
    pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")
    rng = np.random.default_rng(0)
    # Bus is neither in a label nor predicted, train only predicted, truck only in the labels.
    sources = [ids[0] for number, ids in enumerate(CITYSCAPES.sources) if number not in (BUS, TRAIN)]
    ignored = [number for number in CITYSCAPES.void if number >= 0]
    truths = [rng.choice(np.array(sources + ignored, np.uint8), (HEIGHT, WIDTH)) for _ in range(3)]
    truths[1][:, :50] = CITYSCAPES.sources[0][0]
    truths.append(_plate_on_a_car(tmp_path, 3))
    classes = np.array([number for number in range(CITYSCAPES.count) if number not in (BUS, TRUCK)], np.uint8)
    predictions = [rng.choice(classes, (HEIGHT, WIDTH)) for _ in truths]
    for truth, prediction in zip(truths, predictions, strict=True):
        known = CITYSCAPES.encode(truth)
        right = (rng.random(known.shape) < 0.6) & np.isin(known, classes)
        prediction[right] = known[right]
    for number, truth in enumerate(truths):
        _write(tmp_path / f"gtFine/val/munster/munster_000000_{number:06d}_gtFine_labelIds.png", truth)
    # Where a file holds the licence plate as 255 (-1), we ignore it; the tool knows it only as not drawn at all.
    truths[2][truths[2] == 0] = 255
    rows = [_row(number) for number in range(4)]
    assert write_label_ids(tmp_path / "results", zip(rows, predictions, strict=True), CITYSCAPES) == 4
    return truths, predictions, _officially(tmp_path, tmp_path / "results")


def test_our_iou_is_that_of_the_official_tool(judged):
    truths, predictions, official = judged
    assert (truths[2] == 255).any() and (truths[3] == 26).sum() > 11 * 6
    confusion = sum(
        confusion_matrix(prediction, CITYSCAPES.encode(truth), CITYSCAPES.count)
        for truth, prediction in zip(truths, predictions, strict=True)
    )
    counts = iou_counts(*tp_fp_fn(confusion))
    ours = class_ratio(counts.intersection, counts.union)
    theirs = np.array([official["classScores"][name] for name in CITYSCAPES.names])
    assert math.isnan(theirs[BUS]) and theirs[TRAIN] == 0 and theirs[TRUCK] == 0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9, equal_nan=True)
    assert mean_ratio(counts.intersection, counts.union) == pytest.approx(official["averageScoreClasses"], abs=1e-9)
    # Each pixel of the confusion matrix, not only the ratios.
    order = [ids[0] for ids in CITYSCAPES.sources]
    matrix = np.array(official["confMatrix"])[np.ix_(order, order)]
    assert matrix.diagonal().tolist() == counts.intersection.tolist() and matrix.sum() == counts.counted
    assert 0.3 < official["averageScoreClasses"] < 0.6 and 0.3 < theirs[WALL] < 0.7


def test_a_wrong_pixel_is_seen(judged, tmp_path):
    """The comparison above can fail: one pixel of a prediction moves the tool's result."""
    _, predictions, before = judged
    changed = predictions[0].copy()
    changed[:10] = (changed[:10] + 1) % BUS
    write_label_ids(tmp_path / "results", [(_row(0), changed)], CITYSCAPES)
    assert _officially(tmp_path, tmp_path / "results")["averageScoreClasses"] < before["averageScoreClasses"] - 1e-3


def test_files_hold_label_ids_whatever_ids_the_labels_have(tmp_path):
    prediction = np.arange(19, dtype=np.uint8).reshape(1, 19)
    row = _row(5, 1, 19)
    for label_set in (CITYSCAPES, TRAIN_IDS):
        assert write_label_ids(tmp_path, [(row, prediction)], label_set) == 1
        written = cv2.imread(str(tmp_path / f"munster_000000_000005{SUFFIX}"), cv2.IMREAD_UNCHANGED)
        assert written.dtype == np.uint8 and written.tolist() == [[ids[0] for ids in CITYSCAPES.sources]]
    write_label_ids(tmp_path, [(row, prediction % STREET.count)], STREET)
    written = cv2.imread(str(tmp_path / f"munster_000000_000005{SUFFIX}"), cv2.IMREAD_UNCHANGED)
    assert written[0, :9].tolist() == [ids[0] for ids in STREET.sources]
    assert [path.name for path in tmp_path.iterdir()] == [f"munster_000000_000005{SUFFIX}"]


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (
            np.zeros((HEIGHT, WIDTH - 1), np.uint8),
            r"munster_000000_000000: the prediction is uint8 \(48, 95\), expected",
        ),
        (np.zeros((HEIGHT, WIDTH), np.int64), "is int64"),
        (np.full((HEIGHT, WIDTH), 19, np.uint8), "holds id 19; give each pixel a class, 0 to 18"),
        (np.full((HEIGHT, WIDTH), 255, np.uint8), r"holds id 255 \(ignore\)"),
    ],
)
def test_wrong_predictions_are_refused(tmp_path, prediction, message):
    with pytest.raises(UserError, match=message):
        write_label_ids(tmp_path, [(_row(0), prediction)], CITYSCAPES)
    assert not list(tmp_path.iterdir())


def test_other_classes_and_other_pictures_are_refused(tmp_path):
    camvid = LabelSet("camvid", ("sky", "bicyclist"), ((0, 0, 0), (1, 1, 1)), ((0,), (1,)))
    with pytest.raises(UserError, match="label set 'camvid': class 'bicyclist' is not a Cityscapes class"):
        write_label_ids(tmp_path, [], camvid)
    for name in ("munster_000000_000000_other.png", f"deeper/munster_000000_000000{SUFFIX}"):
        _write(tmp_path / "full" / name, np.zeros((4, 4), np.uint8))
        with pytest.raises(UserError, match=rf"{name}: not from an earlier export"):
            write_label_ids(tmp_path / "full", [], CITYSCAPES)
        (tmp_path / "full" / name).unlink()
    assert write_label_ids(tmp_path / "new", [], CITYSCAPES) == 0


def test_a_real_frame_agrees(tmp_path):
    root = DATA / "cityscapes_small"
    if not root.is_dir():
        pytest.skip("no real frames here")
    pytest.importorskip("cityscapesscripts", reason="the extra 'cityscapes' is not installed")
    listing = Cityscapes("cityscapes", CityscapesParams()).list(root, tmp_path, 1)
    (frame,) = [frame for frame in listing.frames if frame.split == "test" and frame.annotated]
    source = cv2.imread(str(root / frame.label), cv2.IMREAD_UNCHANGED)
    truth = listing.label_set.encode(source)
    rng = np.random.default_rng(1)
    random = rng.integers(0, 19, truth.shape, np.uint8)
    prediction = np.where((truth == 255) | (rng.random(truth.shape) < 0.3), random, truth).astype(np.uint8)
    row = frame._asdict() | {"height": truth.shape[0], "width": truth.shape[1]}
    write_label_ids(tmp_path / "results", [(row, prediction)], listing.label_set)
    official = _officially(root, tmp_path / "results")
    counts = iou_counts(*tp_fp_fn(confusion_matrix(prediction, truth, 19)))
    theirs = [official["classScores"][name] for name in CITYSCAPES.names]
    np.testing.assert_allclose(class_ratio(counts.intersection, counts.union), theirs, rtol=0, atol=1e-9)
    assert mean_ratio(counts.intersection, counts.union) == pytest.approx(official["averageScoreClasses"], abs=1e-9)
