"""``etc tc`` from the command line: layouts, flows, output files, and every kind of bad input."""

import base64
import json
import os
import re
import shutil
import struct

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from etc.cli import app
from etc.dataset.label_sets import STREET
from etc.flow.io import read_flo, write_flo, write_kitti_png
from etc.flow.store import FORMAT, FlowWriter
from etc.flow_exchange import pack
from etc.version import version
from tests.commands import world
from tests.commands.world import CLASSES, HEIGHT, MOTION, WIDTH
from tests.dataset.files import chunk, png
from tests.measure.test_id_video import write as write_ids

SIZE = (HEIGHT, WIDTH)


def call(*arguments):
    return CliRunner().invoke(app, ["tc", *map(str, arguments)])


def tc(root, *more, flow="flow", predictions="predictions", frames=None):
    """Run the command on a world; return its JSON."""
    options = ["--predictions", root / predictions, "--workers", 1, "--json", root / "out.json"]
    options += ["--flow", root / flow if (root / flow).is_dir() else flow]
    options += ["--frames", root / frames] if frames else []
    result = call(*options, *more)
    assert result.exit_code == 0, result.output
    return json.loads((root / "out.json").read_text())


def refused(root, *more, **options):
    """Run the command on bad input; return its one line."""
    with pytest.raises(AssertionError) as caught:
        tc(root, *more, **options)
    lines = [line for line in str(caught.value).splitlines() if "error: " in line]
    assert len(lines) == 1, str(caught.value)
    assert not (root / "out.json").exists()
    return lines[0].split("error: ", 1)[1]


@pytest.fixture
def moving(tmp_path):
    return world.make(tmp_path)


# What is measured.


def test_predictions_that_move_with_the_flow_score_one(moving):
    found = tc(moving)
    assert found["tc"] == found["agreement"] == 1.0 and found["flip_rate"] == 0.0
    assert found["per_class"] == {str(one): 1.0 for one in range(CLASSES)}
    assert (found["pairs"], found["skipped"], found["protocol"]) == (8, [], "corrected")
    assert found["clips"]["walk"] == {
        "agreement": 1.0,
        "flip_rate": 0.0,
        "frames": 5,
        "pairs": 4,
        "step": 1,
        "tc": 1.0,
        "warp_error": None,
    }


def test_noise_is_measured_as_counted_by_hand(tmp_path):
    """Slices shifted by the known motion instead of a warp; pooled before dividing."""
    root = world.make(tmp_path, wrong=0.3)
    found = tc(root)
    intersection, union, same, counted = np.zeros(CLASSES), np.zeros(CLASSES), 0, 0
    for clip in ("ride", "walk"):
        ids = [np.asarray(Image.open(path)) for path in sorted((root / "predictions" / clip).iterdir())]
        for now, after in zip(ids, ids[1:], strict=False):
            now, after = now[:, :-MOTION], after[:, MOTION:]
            intersection += [((now == one) & (after == one)).sum() for one in range(CLASSES)]
            union += [((now == one) | (after == one)).sum() for one in range(CLASSES)]
            same, counted = same + (now == after).sum(), counted + now.size
    assert found["tc"] == pytest.approx((intersection / union).mean())
    assert list(found["per_class"].values()) == pytest.approx(intersection / union)
    assert found["agreement"] == pytest.approx(same / counted)
    assert found["tc_low"] <= found["tc"] <= found["tc_high"]


def test_flow_estimated_from_frames_finds_the_motion(moving):
    estimated = tc(moving, flow="dis", frames="frames")
    assert estimated["flow"] == "dis (medium)"
    assert estimated["tc"] > 0.9
    still = tc(moving, flow=standing(moving))
    assert still["tc"] < estimated["tc"] - 0.2
    for flow, more in (
        ("farneback", ()),
        ("dis", ("--preset", "ultrafast")),
        ("farneback", ("--flow-option", "levels=3", "--flow-option", "window=9")),
        ("dis", ("--protocol", "occlusion_aware")),
    ):
        assert tc(moving, *more, flow=flow, frames="frames")["tc"] > 0.8


def standing(root):
    for path in (root / "flow").rglob("*.flo"):
        write_flo(root / "still" / path.relative_to(root / "flow"), np.zeros((*SIZE, 2), np.float32))
    return "still"


@pytest.mark.parametrize("protocol", ["corrected", "etc_released", "vspw_released"])
def test_every_protocol_has_its_own_number(tmp_path, protocol):
    found = tc(world.make(tmp_path, wrong=0.2), "--protocol", protocol)
    assert found["protocol"] == protocol and 0.3 < found["tc"] < 0.9


def test_forward_and_backward_files_say_what_is_visible(tmp_path):
    root = world.make(tmp_path)
    (root / "flow").rename(root / "both")
    for path in sorted((root / "both").rglob("*.flo")):
        target = root / "flow/forward" / path.relative_to(root / "both")
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        backward = np.full((*SIZE, 2), (-MOTION, 0), np.float32)
        backward[:10] = 0
        write_flo(root / "flow/backward" / path.relative_to(root / "both"), backward)
    # The ten upper rows hide; spoil them, and only the protocol that looks at visibility does not notice.
    for path in (root / "predictions").rglob("*3.png"):
        ids = np.asarray(Image.open(path)).copy()
        ids[:10] = (ids[:10] + 1) % CLASSES
        world.save(path, ids)
    assert tc(root, "--protocol", "occlusion_aware")["tc"] == 1.0
    assert tc(root)["tc"] < 0.95


def test_stored_flow_and_kitti_files(moving):
    (moving / "stored").mkdir()
    for clip in ("ride", "walk"):
        with FlowWriter(moving / f"stored/{clip}.arrow", "0" * 32, SIZE) as writer:
            for number in range(4):
                flow = np.full((*SIZE, 2), (MOTION, 0), np.float32)
                writer.write(number, number + 1, flow, np.ones(SIZE, bool))
                (moving / "kitti" / clip).mkdir(parents=True, exist_ok=True)
                write_kitti_png(moving / f"kitti/{clip}/{number}.png", flow)
    for flow, protocol in (("stored", "corrected"), ("stored", "occlusion_aware"), ("kitti", "corrected")):
        assert tc(moving, "--protocol", protocol, flow=flow)["tc"] == 1.0


@pytest.mark.parametrize(
    ("clip", "pattern"),
    [("walk", "{clip}/{source:06d}_{target:06d}"), ("ulm_000001", "x/{clip}_{source:06d}_{target:06d}_flow")],
)
def test_flow_files_named_by_their_pair(tmp_path, clip, pattern):
    """Both ways in one folder, with a step of two: the backward flow is also what visibility is made of."""
    root = world.make(tmp_path, (clip,), range(0, 10, 2), "{clip}_{number:06d}")
    for source in range(0, 8, 2):
        for pair, motion in (((source, source + 2), MOTION), ((source + 2, source), -MOTION)):
            path = root / "pairs" / f"{pattern.format(clip=clip, source=pair[0], target=pair[1])}.flo"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flo(path, np.full((*SIZE, 2), (motion, 0), np.float32))
    for protocol in ("corrected", "occlusion_aware"):
        found = tc(root, "--protocol", protocol, flow="pairs")
        assert found["tc"] == 1.0 and found["pairs"] == 4
    path.unlink()
    (root / "out.json").unlink()
    assert "no flow from frame 8 to 6" in refused(root, "--protocol", "occlusion_aware", flow="pairs")


# Layouts.


@pytest.mark.parametrize(
    ("clips", "numbers", "pattern", "names"),
    [
        (("walk",), range(7959, 7969, 2), "{clip}_{number:05d}", ["walk"]),
        (("0006R0", "0016E5"), range(930, 1080, 30), "{clip}_f{number:05d}", ["0006R0", "0016E5"]),
        (
            ("frankfurt_000001", "jena_000000"),
            range(100, 105),
            "val/x/{clip}_{number:06d}_leftImg8bit",
            ["frankfurt_000001", "jena_000000"],
        ),
        (("any",), range(5), "{number}", ["clip"]),
        (("a/b", "a/c"), range(0, 50, 10), "{clip}/frame{number}", ["a/b", "a/c"]),
    ],
)
def test_layouts_and_steps(tmp_path, clips, numbers, pattern, names):
    root = world.make(tmp_path, clips, numbers, pattern)
    for found in (tc(root), tc(root, flow="dis", frames="frames")):
        assert list(found["clips"]) == names
        assert all(clip["step"] == numbers.step and clip["pairs"] == 4 for clip in found["clips"].values())


def test_jpeg_frames(moving):
    for path in list((moving / "frames").rglob("*.png")):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    assert tc(moving, flow="dis", frames="frames")["tc"] > 0.9


# Options and output.


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path):
    root = world.make(tmp_path, wrong=0.2)
    outputs = []
    for workers in (1, 2):
        parquet = root / f"{workers}.parquet"
        found = tc(root, "--workers", workers, "--parquet", parquet, flow="dis", frames="frames")
        outputs.append(((root / "out.json").read_bytes(), parquet.read_bytes(), found))
    assert outputs[0] == outputs[1]


def test_parquet_holds_the_counts_of_every_pair(tmp_path):
    root = world.make(tmp_path, wrong=0.2)
    found = tc(root, "--parquet", root / "out.parquet")
    table = pd.read_parquet(root / "out.parquet")
    assert list(table) == ["clip", "source", "target", "protocol", "same", "counted", "intersection", "union", "class"]
    assert len(table) == 8 * CLASSES
    pooled = table.groupby("class")[["intersection", "union"]].sum()
    assert found["tc"] == pytest.approx((pooled["intersection"] / pooled["union"]).mean())
    pairs = table[table["class"] == 0]
    assert found["agreement"] == pytest.approx(pairs["same"].sum() / pairs["counted"].sum())


def test_vspw_released_averages_over_the_classes_of_frames_t(tmp_path):
    """One class other than 0 at zero flow, 20x30: what leaves an even frame becomes class 0, which no frame t holds."""
    for clip in ("a", "b"):
        for number in range(3):
            world.save(tmp_path / f"predictions/{clip}/{number}.png", np.full((20, 30), 2, np.uint8))
            write_flo(tmp_path / f"flow/{clip}/{number}.flo", np.zeros((20, 30, 2), np.float32))
    found = tc(tmp_path, "--protocol", "vspw_released", "--parquet", tmp_path / "out.parquet")
    assert found["tc"] == found["tc_low"] == found["tc_high"] == pytest.approx(19 * 29 / 600)
    assert found["per_class"] == {"0": None, "1": None, "2": found["tc"]}
    table = pd.read_parquet(tmp_path / "out.parquet").groupby("class")[["intersection", "union", "source_pixels"]].sum()
    assert table["source_pixels"].tolist() == [0, 0, 4 * 600]
    counted = table[table["source_pixels"] > 0]
    assert found["tc"] == pytest.approx((counted["intersection"] / counted["union"]).mean())


def test_output_is_readable_text(moving):
    paths = ["--predictions", moving / "predictions", "--flow", moving / "flow"]
    result = call(*paths, "--label-set", "street", "--workers", 1)
    assert result.exit_code == 0
    assert "2 clips, 8 pairs, 0 skipped; frame step 1" in result.stdout
    assert "0 road" in result.stdout and "100.00 to 100.00" in result.stdout
    assert "9 classes, ignored ids 255" in result.stdout


def test_json_says_where_the_number_of_classes_comes_from(moving):
    found = tc(moving)
    assert found["classes"] == CLASSES and found["classes_inferred"] is True
    found = tc(moving, "--classes", 19)
    assert found["classes"] == 19 and found["classes_inferred"] is False and found["per_class"]["7"] is None
    assert found["tc"] == 1.0


def test_ignored_ids(tmp_path):
    """Class 2 is not counted: pixels that are 2 in either frame say nothing."""
    root = world.make(tmp_path, wrong=0.3)
    found = tc(root, "--ignore", 2, "--classes", 4)
    assert found["per_class"]["2"] is None and found["ignore"] == [2]
    same = counted = 0
    for clip in ("ride", "walk"):
        ids = [np.asarray(Image.open(path)) for path in sorted((root / "predictions" / clip).iterdir())]
        for now, after in zip(ids, ids[1:], strict=False):
            now, after = now[:, :-MOTION], after[:, MOTION:]
            said = (now != 2) & (after != 2)
            same, counted = same + (now == after)[said].sum(), counted + said.sum()
    assert found["agreement"] == pytest.approx(same / counted)


def test_truth_adds_miou_and_vc(tmp_path):
    root = world.make(tmp_path, numbers=range(10), wrong=0.0)
    found = tc(root, "--labels", root / "predictions")
    assert found["miou"] == 1.0 and found["labelled_frames"] == 20
    assert found["vc8"] == 1.0 and found["vc8_windows"] == 6 and found["vc16"] is None
    assert found["clips"]["walk"]["vc8"] == 1.0


def test_probabilities_add_the_warp_error(moving):
    """Certain outputs, equal to the predictions: 0 along the flow, 2 for each changed pixel at zero flow."""
    changed = counted = 0
    for clip in ("ride", "walk"):
        paths = sorted((moving / "predictions" / clip).iterdir())
        ids = [np.asarray(Image.open(path)) for path in paths]
        changed += sum((now != after).sum() for now, after in zip(ids, ids[1:], strict=False))
        counted += 4 * ids[0].size
        for path, one in zip(paths, ids, strict=True):
            target = moving / "chances" / clip / f"{path.stem}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, (np.arange(CLASSES)[:, None, None] == one).astype(np.float16))
    assert tc(moving, "--probabilities", moving / "chances")["warp_error"] == 0.0
    still = tc(moving, "--probabilities", moving / "chances", flow=standing(moving))
    assert still["warp_error"] == pytest.approx(2 * changed / counted)


def test_a_second_folder_is_compared_clip_by_clip(tmp_path):
    clips = tuple(f"c{number}" for number in range(8))
    root = world.make(tmp_path, clips, wrong=0.1)
    world.make(root, clips, wrong=0.3, name="other", frames=False, flow=False)
    alone = tc(root, predictions="other")
    found = tc(root, "--against", root / "other")
    against = found["against"]
    assert against["tc"] == alone["tc"] and against["difference"] == pytest.approx(found["tc"] - alone["tc"])
    assert 0 < against["difference_low"] < against["difference"] < against["difference_high"]
    assert against["p_value"] == 2 / 2**8
    assert (against["pairs"], against["clips"], against["left_out"]) == (32, 8, 0)


# Samples.


def test_samples_of_the_clips(tmp_path):
    clips = tuple(f"c{number}" for number in range(10))
    root = world.make(tmp_path, clips, range(3), frames=False)
    share = [list(tc(root, "--sample", 0.3, "--sample-seed", seed)["clips"]) for seed in (0, 0, 1)]
    assert len(share[0]) == 3 and share[0] == share[1] != share[2]
    (root / "list.txt").write_text("c7\nc1\n")
    assert list(tc(root, "--sample", root / "list.txt")["clips"]) == ["c1", "c7"]
    (root / "list.txt").write_text("c7\nc1\nc11\n")
    found = tc(root, "--sample", root / "list.txt", "--skip-bad")
    assert list(found["clips"]) == ["c1", "c7"] and "listed clip c11" in found["skipped"][0]["reason"]
    (root / "out.json").unlink()
    assert "no prediction of the listed clip c11" in refused(root, "--sample", root / "list.txt")
    assert "first frankfurt_000000_001016" in refused(root, "--sample", "cityscapes_tc")
    assert "a share must be above 0" in refused(root, "--sample", 1.5)
    assert "neither a bundled list of clips" in refused(root, "--sample", "nowhere.txt")


def test_a_listed_clip_of_a_long_recording(tmp_path):
    root = world.make(tmp_path, ("ulm_000001",), range(40), "{clip}_{number:06d}_x", frames=False)
    (root / "list.txt").write_text("ulm_000001_000025\n")
    found = tc(root, "--sample", root / "list.txt")
    assert found["clips"]["ulm_000001_000025"]["pairs"] == 29 and found["tc"] == 1.0


# Bad input: one line that names the file, and nothing written.


def test_missing_and_extra_frames(moving):
    (moving / "frames/walk/0002.png").unlink()
    assert "predictions/walk/0002.png: " in refused(moving, flow="dis", frames="frames")
    found = tc(moving, "--skip-bad", flow="dis", frames="frames")
    assert found["pairs"] == 6 and [one["source"] for one in found["skipped"]] == [1, 2]


def test_missing_predictions(moving):
    (moving / "predictions/walk/0004.png").unlink()
    line = refused(moving, flow="dis", frames="frames")
    assert "frames/walk/0004.png: no prediction for frame 4 of clip walk" in line and "--skip-bad" in line


def test_a_gap_in_the_numbering(moving):
    (moving / "predictions/walk/0001.png").unlink()
    assert "walk/0002.png: frame 2 of clip walk follows frame 0, but the clip's step is 1" in refused(moving)
    found = tc(moving, "--skip-bad")
    assert found["pairs"] == 6 and len(found["skipped"]) == 1 and found["clips"]["walk"]["step"] == 1


def test_sizes_that_differ(moving):
    path = moving / "predictions/walk/0003.png"
    world.save(path, np.zeros((HEIGHT, WIDTH - 8), np.uint8))
    assert "walk/0003.png: 72x48 pixels, but " in refused(moving)
    assert len(tc(moving, "--skip-bad")["skipped"]) == 2


def test_frames_of_another_size_than_the_predictions(moving):
    for path in (moving / "frames").rglob("*.png"):
        world.save(path, cv2.resize(np.asarray(Image.open(path)), (40, 24)))
    line = refused(moving, flow="dis", frames="frames")
    assert "frames/ride/0000.png: 40x24 pixels, but " in line and "predictions/ride/0000.png has 80x48" in line


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((*SIZE, 3), np.uint8), "8-bit RGB, a colour picture, not class ids"),
        (np.full(SIZE, 256, np.uint16), "id 256, but ids are 0 to 255"),
        (np.full(SIZE, 9, np.uint8), "id 9, but there are 4 classes"),
    ],
)
def test_pictures_that_are_no_class_ids(moving, array, message):
    world.save(moving / "predictions/walk/0002.png", array)
    line = refused(moving, "--classes", CLASSES)
    assert "walk/0002.png" in line and message in line
    assert len(tc(moving, "--classes", CLASSES, "--skip-bad")["skipped"]) == 2


def test_frames_of_other_formats_and_ids_as_arrays_give_the_same_figures(moving):
    expected = tc(moving, flow="dis", frames="frames")
    for place, path in enumerate(sorted((moving / "frames").rglob("*.png"))):
        suffix = (".bmp", ".tif", ".png")[place % 3]
        Image.open(path).save(path.with_suffix(suffix))
        if suffix != ".png":
            path.unlink()
    for path in sorted((moving / "predictions").rglob("*.png")):
        # Probabilities beside pictures of ids are no ids.
        np.save(path.with_suffix(".npy"), np.zeros((2, 3, 4), np.float32))
    assert tc(moving, flow="dis", frames="frames") == expected
    for path in sorted((moving / "predictions").rglob("*.png")):
        ids = np.asarray(Image.open(path))
        np.save(path.with_suffix(".npy"), ids.astype(np.int64))
        path.unlink()
    assert tc(moving, flow="dis", frames="frames") == expected


@pytest.mark.parametrize("kind", ["pipe", "loop", "size", "bits"])
def test_bad_pictures_are_skipped_or_named_and_never_waited_for(moving, kind):
    path = moving / "predictions/walk/0002.png"
    data = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "size":
        path.write_bytes(png(np.zeros((1, 1), np.uint8)).replace(*heads()))
    else:
        damaged = bytearray(data)
        damaged[-20] ^= 4
        path.write_bytes(damaged)
    message = {"pipe": "not a regular file", "loop": "symbolic links", "size": "20000x20000 pixels", "bits": "checksum"}
    line = refused(moving, "--classes", CLASSES)
    assert "walk/0002.png: " in line and message[kind] in line
    assert len(tc(moving, "--classes", CLASSES, "--skip-bad")["skipped"]) == 2


def heads():
    """The header of a PNG of one pixel, and that of one of 20000x20000."""
    heads = [struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0) for side in (1, 20_000)]
    return [chunk(b"IHDR", head) for head in heads]


def test_label_ids_instead_of_train_ids(tmp_path):
    root = world.make(tmp_path, ("ulm_000001",), pattern="{clip}_{number:06d}")
    for path in (root / "predictions").iterdir():
        world.save(path, np.array([7, 8, 11, 26], np.uint8)[np.asarray(Image.open(path))])
    line = refused(root)
    assert "id 26 looks like a Cityscapes label id" in line and "--classes 27" in line
    assert "convert it to train ids" in refused(root, "--classes", 19)
    assert tc(root, "--classes", 27)["tc"] == 1.0


def test_a_truncated_picture(moving):
    path = moving / "predictions/walk/0000.png"
    path.write_bytes(path.read_bytes()[:80])
    assert "walk/0000.png: the PNG ends within a chunk, after 80 bytes" in refused(moving)
    found = tc(moving, "--skip-bad")
    assert found["pairs"] == 7 and "0000.png" in found["skipped"][0]["reason"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: write_flo(path, np.zeros((10, 10, 2), np.float32)), "0001.flo: 10x10 pixels, but "),
        (lambda path: write_flo(path, np.full((*SIZE, 2), 1e9, np.float32)), "0001.flo: 3840 vectors are longer than"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "0001.flo: truncated"),
        (lambda path: path.unlink(), "flow/walk: no flow from frame 1 to 2"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:12] + np.full(2 * 3840, np.nan, "<f4").tobytes()),
            "0001.flo: the flow at row 0, column 0 is [nan, nan]",
        ),
    ],
)
def test_bad_flow_files(moving, damage, message):
    damage(moving / "flow/walk/0001.flo")
    assert message in refused(moving)
    found = tc(moving, "--skip-bad")
    assert found["pairs"] == 7 and message in found["skipped"][0]["reason"]


def test_corrupt_stored_flow(moving, monkeypatch):
    (moving / "stored").mkdir()
    for clip in ("ride", "walk"):
        with FlowWriter(moving / f"stored/{clip}.arrow", "0" * 32, SIZE) as writer:
            for number in range(4):
                writer.write(number, number + 1, np.full((*SIZE, 2), (MOTION, 0), np.float32))
    path = moving / "stored/walk.arrow"
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert "walk.arrow: damaged or truncated" in refused(moving, flow="stored")
    assert len(tc(moving, "--skip-bad", flow="stored")["skipped"]) == 4
    (moving / "out.json").unlink()
    monkeypatch.setattr("etc.flow.store.FORMAT", 9)
    with FlowWriter(path, "0" * 32, SIZE) as writer:
        writer.write(0, 1, np.zeros((*SIZE, 2), np.float32))
    monkeypatch.undo()
    assert f"walk.arrow: flow format 9, this version reads {FORMAT}" in refused(moving, flow="stored")
    path.unlink()
    assert "stored: no flow of clip walk (it has ride)" in refused(moving, flow="stored")
    with FlowWriter(path, "0" * 32, SIZE) as writer:
        writer.write(0, 1, np.zeros((*SIZE, 2), np.float32))
    assert "walk.arrow: no flow from frame 1 to 2" in refused(moving, flow="stored")
    assert "occlusion_aware protocol needs visibility" in refused(
        moving, "--protocol", "occlusion_aware", flow="stored"
    )


def test_empty_and_missing_folders(moving):
    (moving / "empty").mkdir()
    assert "empty: the folder holds no .png or .npy file" in refused(moving, predictions="empty")
    assert "nowhere: no such folder or video" in refused(moving, predictions="nowhere")
    assert "empty: the folder holds no .png or .jpg or .jpeg or .bmp" in refused(moving, flow="dis", frames="empty")
    assert "empty: the folder holds no .flo or .png file" in refused(moving, flow="empty")


def test_clips_of_one_frame(moving):
    world.make(moving, ("short",), range(1))
    line = refused(moving)
    assert "short/0000.png: clip short has one frame only, so no pair" in line
    found = tc(moving, "--skip-bad")
    assert list(found["clips"]) == ["ride", "walk"] and found["skipped"][0]["source"] is None


def test_clips_that_only_one_folder_has(moving):
    world.make(moving, ("extra",), frames=False)
    assert "frames: no frames of clip extra (it has ride, walk)" in refused(moving, flow="dis", frames="frames")
    world.make(moving, ("ride", "walk"), name="other", frames=False, flow=False)
    line = refused(moving, "--against", moving / "other")
    assert "other: the pair of frames 0 and 1 of clip extra is missing" in line
    found = tc(moving, "--against", moving / "other", "--skip-bad")
    assert found["against"]["pairs"] == 8 and found["against"]["left_out"] == 4


def test_clips_without_predictions_are_reported(moving):
    for path in (moving / "predictions/walk").iterdir():
        path.unlink()
    assert "no prediction of clip walk, whose frames are there" in refused(moving, flow="dis", frames="frames")
    found = tc(moving, "--skip-bad", flow="dis", frames="frames")
    assert found["unpredicted"] == ["walk"]
    (skipped,) = found["skipped"]
    assert skipped["clip"] == "walk" and "no prediction of clip walk" in skipped["reason"]
    paths = ["--predictions", moving / "predictions", "--frames", moving / "frames", "--workers", 1, "--skip-bad"]
    assert "frames of 1 more clip have no prediction: walk" in call(*paths).stdout
    (moving / "some.txt").write_text("ride\n")
    assert tc(moving, "--sample", moving / "some.txt", flow="dis", frames="frames")["skipped"] == []


def test_nothing_but_ignored_pixels_is_an_error(moving):
    ignored = [part for one in range(CLASSES) for part in ("--ignore", one)]
    assert "no pixel could be compared" in refused(moving, "--classes", CLASSES, *ignored)


def test_probabilities_of_other_classes_are_refused(moving):
    for path in (moving / "predictions").rglob("*.png"):
        target = moving / "chances" / path.parent.name / f"{path.stem}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.full((CLASSES + 2, *SIZE), 1 / (CLASSES + 2), np.float32))
    message = f"probabilities of {CLASSES + 2} classes, but there are {CLASSES}"
    assert message in refused(moving, "--classes", CLASSES, "--probabilities", moving / "chances")
    # Without --classes, there may be more classes than the largest id says.
    assert tc(moving, "--probabilities", moving / "chances")["warp_error"] == 0.0


@pytest.mark.parametrize(
    ("option", "place", "message"),
    [
        ("--json", "folder", "folder: this is a folder"),
        ("--parquet", "folder", "folder: this is a folder"),
        ("--parquet", "file/tc.parquet", "file/tc.parquet: a file stands in the way"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_before_anything_is_computed(moving, option, place, message):
    (moving / "folder").mkdir()
    (moving / "file").touch()
    for path in (moving / "predictions").rglob("*.png"):
        path.write_bytes(b"would be an error")
    paths = ["--predictions", moving / "predictions", "--flow", moving / "flow", "--json", moving / "out.json"]
    result = call(*paths, option, moving / place)
    assert result.exit_code == 1 and message in result.output
    assert not (moving / "out.json").exists()


@pytest.mark.parametrize("protocol", ["etc_released", "vspw_released"])
def test_imported_flow_follows_the_rules_of_its_files(moving, protocol):
    """Holes are left out, or refused where every pixel is counted, before and after ``etc flow import``."""
    for clip in ("ride", "walk"):
        for number in range(4):
            valid = np.ones(SIZE, bool)
            valid[0, 0] = False
            flow = np.full((*SIZE, 2), (MOTION, 0), np.float32)
            write_kitti_png(moving / f"kitti/{clip}/{number:06}_{number + 1:06}.png", flow, valid)
    pack(moving / "kitti", moving / "packed")
    for folder in ("kitti", "packed"):
        assert "1 pixel has no valid vector" in refused(moving, "--protocol", protocol, flow=folder)
        assert "no flow from frame 1 to 0" in refused(moving, "--protocol", "occlusion_aware", flow=folder)
    first, second = tc(moving, flow="kitti"), tc(moving, flow="packed")
    assert first.pop("flow") != second.pop("flow") and first == second


def test_files_without_a_frame_number(moving):
    world.save(moving / "predictions/walk/legend.png", np.zeros(SIZE, np.uint8))
    assert "legend.png: no frame number in its name" in refused(moving)
    assert tc(moving, "--skip-bad")["pairs"] == 8


def test_nothing_left_to_compare_is_an_error_even_when_bad_input_is_skipped(moving):
    for path in (moving / "flow").rglob("*.flo"):
        path.write_bytes(b"rubbish")
    assert "no pair of frames could be compared; the first was skipped" in refused(moving, "--skip-bad")


def test_options_that_do_not_go_together(moving):
    assert "give --frames, or a folder of flow" in refused(moving, flow="dis")
    assert "unknown TC protocol 'best'" in refused(moving, "--protocol", "best")
    assert "--flow magic: no such folder, and unknown flow method 'magic'" in refused(moving, flow="magic")
    assert "DIS flow has no preset 'slow'" in refused(moving, "--preset", "slow", flow="dis", frames="frames")
    assert "occlusion_aware protocol needs to know what is visible" in refused(moving, "--protocol", "occlusion_aware")
    assert "--classes 4: the label set street has 9 classes" in refused(moving, "--classes", 4, "--label-set", "street")
    assert "exact flow is read, not computed" in refused(moving, flow="exact", frames="frames")


def test_truth_that_does_not_fit(moving):
    world.make(moving, ("elsewhere",), name="labels", frames=False, flow=False)
    assert "labels: has no label for any predicted frame" in refused(moving, "--labels", moving / "labels")
    world.make(moving, ("ride",), name="truth", frames=False, flow=False)
    world.save(moving / "truth/ride/0003.png", np.zeros((5, 5), np.uint8))
    assert "truth/ride/0003.png: two label maps uint8 of one size" in refused(moving, "--labels", moving / "truth")
    found = tc(moving, "--labels", moving / "truth", "--skip-bad")
    assert "miou" not in found and "ride/0003.png" in found["skipped"][0]["reason"]


# Figures that would be wrong, or cannot be trusted.


def printed(root, *more):
    result = call("--predictions", root / "predictions", "--workers", 1, "--flow", root / "flow", *more)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_flow_by_frame_is_not_used_for_predictions_of_another_step(moving):
    for path in (moving / "predictions").rglob("*[13].png"):
        path.unlink()
    words = (
        "flow named by its frame leads one step on, from frame 0 to 1 of clip ride, but the prediction after 0 is of"
    )
    assert words in refused(moving)
    assert "no pair of frames could be compared" in refused(moving, "--skip-bad")
    for clip in ("ride", "walk"):
        for source in (0, 2):
            (moving / "pairs" / clip).mkdir(parents=True, exist_ok=True)
            flow = np.full((*SIZE, 2), (2 * MOTION, 0), np.float32)
            write_flo(moving / f"pairs/{clip}/{source}_{source + 2}.flo", flow)
    assert tc(moving, flow="pairs")["tc"] == 1.0


def test_labels_with_bare_numbers_are_not_those_of_every_clip(moving):
    for path in (moving / "predictions/walk").iterdir():
        world.save(moving / "bare" / path.name, np.asarray(Image.open(path)))
    line = refused(moving, "--labels", moving / "bare")
    assert "has no label for any predicted frame" in line
    assert "labels have the clips files without a clip name, predictions ride, walk" in line
    (moving / "list.txt").write_text("walk\n")
    assert "no label" in refused(moving, "--labels", moving / "bare", "--sample", moving / "list.txt")
    chances = moving / "bare_chances"
    chances.mkdir()
    np.save(chances / "0.npy", np.full((CLASSES, *SIZE), 1 / CLASSES, np.float32))
    assert "no probabilities of frame 0" in refused(moving, "--probabilities", chances)


def shifted(root, by):
    for path in (root / "predictions").rglob("*.png"):
        ids = np.asarray(Image.open(path)) + np.uint8(by)
        ids[:4] = 0
        ids[4:8] = 255
        world.save(root / "shifted" / path.relative_to(root / "predictions"), ids)
    return root / "shifted"


def test_labels_that_are_the_class_plus_1(moving):
    """As in VSPW and ADE20K: 0 is void."""
    labels = shifted(moving, 1)
    assert "id 4, but there are 4 classes" in refused(moving, "--labels", labels)
    found = tc(moving, "--labels", labels, "--label-offset", 1)
    assert found["miou"] == 1.0 and found["warnings"] == []
    found = tc(moving, "--labels", labels, "--classes", 5)
    assert found["miou"] < 0.1
    (line,) = found["warnings"]
    assert "of the labelled pixels hold the predicted class plus 1: if 0 is void there, give --label-offset 1" in line
    assert f"warning: {line}" in printed(moving, "--labels", labels, "--classes", 5)
    (moving / "out.json").unlink()
    assert "--label-offset 1 is about labels: give --labels" in refused(moving, "--label-offset", 1)


def test_labels_without_a_predicted_class(moving):
    for path in (moving / "predictions").rglob("*.png"):
        ids = np.asarray(Image.open(path)).copy()
        ids[ids == 2] = 255
        ids[:2] = 1
        world.save(moving / "labels" / path.relative_to(moving / "predictions"), ids)
    (line,) = tc(moving, "--labels", moving / "labels")["warnings"]
    assert "no label holds class 2, predicted for" in line


@pytest.mark.parametrize("pattern", ["{clip}_{number:06d}_leftImg8bit", "{clip}/{number:04d}"])
def test_label_ids_in_place_of_train_ids(tmp_path, pattern):
    """Ids that never exceed 18, so that only what they mean shows it."""
    root = world.make(tmp_path, ("ulm_000001",), pattern=pattern)
    for path in (root / "predictions").rglob("*.png"):
        world.save(path, np.uint8([7, 8, 11, 17])[np.asarray(Image.open(path))])
    (line,) = tc(root, "--classes", 19)["warnings"]
    assert "the only ids found are label ids of Cityscapes (7 = road, 8 = sidewalk, 11 = building, 17 = pole)" in line
    inferred = tc(root)["warnings"]
    assert inferred == ([line] if "leftImg8bit" in pattern else [])
    for path in (root / "predictions").rglob("*.png"):
        table = np.zeros(256, np.uint8)
        table[[7, 8, 11, 17]] = 0, 1, 2, 5
        world.save(root / "truth" / path.relative_to(root / "predictions"), table[np.asarray(Image.open(path))])
    lines = tc(root, "--classes", 19, "--labels", root / "truth")["warnings"]
    assert any("hold the train id of a predicted Cityscapes label id: convert the predictions" in one for one in lines)


def test_labels_as_label_ids_without_classes_name_the_cure(tmp_path):
    root = world.make(tmp_path, ("ulm_000001",), pattern="{clip}_{number:06d}_leftImg8bit")
    for path in (root / "predictions").rglob("*.png"):
        ids = np.uint8([7, 8, 11, 12])[np.asarray(Image.open(path))]
        world.save(root / f"labels/{path.stem.replace('leftImg8bit', 'gtFine_labelIds')}.png", ids)
    line = refused(root, "--labels", root / "labels")
    assert "label ids stand for 19 classes, not 4: give --label-set cityscapes" in line
    assert tc(root, "--labels", root / "labels", "--label-set", "cityscapes")["miou"] == 1.0


def test_an_ignored_id_that_the_truth_labels_is_named_as_it_stands_in_the_file(moving):
    for path in (moving / "predictions").rglob("*.png"):
        world.save(moving / "truth" / path.relative_to(moving / "predictions"), np.zeros(SIZE, np.uint8))
    line = refused(moving, "--ignore", 2, "--classes", 4, "--labels", moving / "truth")
    assert "ride/0000.png: the prediction has id 2 at" in line and "255" not in line


@pytest.mark.parametrize("clips", [2, 5, 6])
def test_few_clips_allow_no_statement_about_others(tmp_path, clips):
    names = tuple(f"c{number}" for number in range(clips))
    root = world.make(tmp_path, names, range(3), wrong=0.1)
    world.make(root, names, range(3), wrong=0.3, name="other", frames=False, flow=False)
    text = printed(root, "--against", root / "other", "--json", root / "out.json")
    figures = json.loads((root / "out.json").read_text())
    remark = f"(too narrow: {clips} clips)"
    statement = (
        f"{clips} clips allow no statement about other clips: the interval is too narrow, and p cannot fall below"
    )
    assert figures["interval"].startswith(f"95% bootstrap over {clips} clips")
    for sign in (text.count(remark) == 3, statement in text, "too narrow with fewer than 6" in figures["interval"]):
        assert sign == (clips < 6)


def test_flow_that_does_not_follow_the_frames_is_reported(moving):
    found = tc(moving, frames="frames")
    assert found["warnings"] == [] and found["clips"]["walk"]["warp_correlation"] > 0.95
    assert tc(moving, flow="dis", frames="frames")["warnings"] == []
    (line,) = tc(moving, flow=standing(moving), frames="frames")["warnings"]
    assert "the flow does not follow the frames of 2 of 2 clips (ride, walk), frame step 1" in line
    without = tc(moving, flow="still")
    assert without["warnings"] == [] and "warp_correlation" not in without["clips"]["walk"]


# Names and files of the field.


def test_times_in_place_of_frame_numbers(tmp_path):
    """Nanoseconds at 30 frames a second, with jitter: a pair is two frames that follow each other."""
    numbers = [
        1_700_000_000_000_000_000 + 33_333_333 * one + jitter for one, jitter in enumerate((0, 900, -80_000, 7, 0))
    ]
    root = world.make(tmp_path, ("walk",), numbers, "{clip}/{number}")
    for flow, frames in (("flow", None), ("dis", "frames")):
        found = tc(root, "--parquet", root / "out.parquet", flow=flow, frames=frames)
        assert found["pairs"] == 4 and found["skipped"] == [] and found["clips"]["walk"]["step"] == 33_333_326
        table = pd.read_parquet(root / "out.parquet")
        assert table["source"].unique().tolist() == numbers[:-1] and table["source"].dtype == np.int64


@pytest.mark.parametrize("number", [9_999_999_999_999_999, 10**40])
def test_a_frame_number_far_from_all_others(moving, number):
    for folder in ("predictions", "frames"):
        source = moving / folder / "walk"
        (source / f"{number}.png").write_bytes((source / "0004.png").read_bytes())
    line = refused(moving, flow="dis", frames="frames")
    assert f"walk/{number}.png: " in line
    parquet = moving / "out.parquet"
    assert tc(moving, "--skip-bad", "--parquet", parquet, flow="dis", frames="frames")["pairs"] == 8


def test_a_clip_name_that_is_not_utf_8(moving):
    (moving / "predictions/walk").rename(moving / "predictions" / os.fsdecode(b"walk\xff"))
    line = refused(moving, "--parquet", moving / "out.parquet")
    assert "this name is not UTF-8; rename the file or folder" in line and not (moving / "out.parquet").exists()


def test_frames_that_are_too_small_for_the_flow_are_named(tmp_path):
    for number in range(2):
        world.save(tmp_path / f"predictions/a/{number}.png", np.zeros((1, 1), np.uint8))
        world.save(tmp_path / f"frames/a/{number}.png", np.zeros((1, 1, 3), np.uint8))
    assert "frames/a/0.png: dis flow failed on frames of shape (1, 1, 3)" in refused(
        tmp_path, flow="dis", frames="frames"
    )


def test_probabilities_whose_shape_lies(moving):
    for path in (moving / "predictions").rglob("*.png"):
        target = moving / "chances" / path.parent.name / f"{path.stem}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.full((CLASSES, *SIZE), 1 / CLASSES, np.float32))
    data = target.read_bytes()
    # Two terabytes.
    target.write_bytes(data.replace(b"(4, 48, 80), }          ", b"(4000, 48000, 8000), }  ", 1))
    line = refused(moving, "--probabilities", moving / "chances")
    assert f"{target.parent.name}/{target.name}: not a readable NumPy file" in line
    found = tc(moving, "--probabilities", moving / "chances", "--skip-bad")
    assert found["pairs"] == 7 and len(found["skipped"]) == 1


def test_names_of_kitti(tmp_path):
    """Scenes of two frames; 000000_10.flo leads from 000000_10 to 000000_11, with and without the frames."""
    root = world.make(tmp_path, ("000000", "000001", "000002"), range(10, 12), "{clip}_{number:02d}")
    for path in (root / "flow").glob("*_11.flo"):
        path.unlink()
    for path in (root / "flow").iterdir():
        write_kitti_png(root / f"flow_occ/{path.stem}.png", read_flo(path))
    pack(root / "flow", root / "packed")
    for flow in ("flow", "flow_occ", "packed"):
        for frames in (None, "frames"):
            found = tc(root, flow=flow, frames=frames)
            assert found["tc"] == 1.0 and found["pairs"] == 3 and list(found["clips"]) == ["000000", "000001", "000002"]


def test_the_layout_of_vspw(moving):
    """<clip>/origin holds the frames, <clip>/mask the class plus 1, with 0 and 255 for void."""
    shifted(moving, 1)
    for clip in ("ride", "walk"):
        (moving / "data" / clip).mkdir(parents=True)
        (moving / "frames" / clip).rename(moving / "data" / clip / "origin")
        (moving / "shifted" / clip).rename(moving / "data" / clip / "mask")
    labels = ("--labels", moving / "data", "--label-offset", 1)
    found = tc(moving, *labels, flow="dis", frames="data")
    assert found["tc"] > 0.9 and found["miou"] == 1.0 and list(found["clips"]) == ["ride", "walk"]
    assert found["pairs"] == 8 and found["labelled_frames"] == 10 and found["warnings"] == []


def test_predictions_as_mmsegmentation_names_them(moving):
    for path in sorted((moving / "predictions/walk").iterdir()):
        path.rename(moving / "predictions" / f"0000{path.stem}_pred.png")
    for path in sorted((moving / "frames/walk").iterdir()):
        path.rename(moving / "frames" / f"0000{path.name}")
    for folder in ("predictions", "frames"):
        shutil.rmtree(moving / folder / "walk")
        shutil.rmtree(moving / folder / "ride")
    found = tc(moving, flow="dis", frames="frames")
    assert found["tc"] > 0.9 and found["pairs"] == 4 and found["skipped"] == []


def test_names_are_printed_as_they_are(tmp_path):
    world.make(tmp_path, clips=("[red]ride", "walk\x1b[31m\nTC 99"))
    result = call("--predictions", tmp_path / "predictions", "--flow", tmp_path / "flow", "--workers", 1)
    assert "\n[red]ride " in result.output and "\nwalk\\x1b[31m\\nTC 99 " in result.output


# Ids in videos.


def as_videos(root, name="predictions", codec="ffv1", form="gray", suffix=".mkv", keep=None):
    """The clips of a folder as videos of ids, <root>/<name>_videos/<clip>.mkv."""
    folder = root / f"{name}_videos"
    folder.mkdir()
    for clip in (root / name).iterdir():
        ids = [np.asarray(Image.open(path)) for path in sorted(clip.iterdir())]
        write_ids(folder / f"{clip.name}{suffix}", codec, form, ids[:keep])
    return folder


def test_predictions_labels_and_the_other_folder_may_be_videos(tmp_path):
    root = world.make(tmp_path, ("walk",), wrong=0.2)
    world.make(root, ("walk",), wrong=0.3, name="other", frames=False, flow=False)
    options = {}
    for predictions, other in (
        ("predictions", root / "other"),
        (as_videos(root) / "walk.mkv", as_videos(root, "other") / "walk.mkv"),
    ):
        more = ("--against", other, "--labels", root / predictions)
        options[predictions] = tc(root, *more, flow="dis", frames="frames", predictions=predictions)
    folder, video = options.values()
    for one in (folder, video):
        del one["predictions"], one["against"]["predictions"]
    assert folder == video and folder["pairs"] == 4 and folder["miou"] == 1.0 and folder["classes_inferred"]
    one, two = root / "predictions_videos/walk.mkv", root / "other_videos/run.mkv"
    (root / "other_videos/walk.mkv").rename(two)
    (root / "out.json").unlink()
    line = refused(root, "--against", two, predictions=one)
    assert "run.mkv: has the clips run, " in line and "walk.mkv walk: name the clips alike" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "libx264", "form": "yuv420p", "suffix": ".mp4"}, "walk.mp4: h264 may change ids; write ids as FFV1"),
        ({"form": "yuv420p"}, "walk.mkv: ffv1 with the pixels yuv420p"),
        ({"keep": 4}, "frames/walk/0004.png: no prediction for frame 4 of clip walk"),
    ],
)
def test_videos_of_ids_that_are_refused(tmp_path, options, message):
    root = world.make(tmp_path, ("walk",))
    (path,) = as_videos(root, **options).iterdir()
    assert message in refused(root, flow="dis", frames="frames", predictions=path)


def test_videos_of_ids_that_do_not_fit_their_frames(tmp_path):
    root = world.make(tmp_path, ("walk",))
    path = as_videos(root) / "walk.mkv"
    (root / "frames/walk/0004.png").unlink()
    assert "walk.mkv: " in (line := refused(root, flow="dis", frames="frames", predictions=path))
    assert "frames has no frame 4 of clip walk" in line
    for one in (root / "frames/walk").iterdir():
        world.save(one, cv2.resize(np.asarray(Image.open(one)), (40, 24)))
    shutil.copy(one, root / "frames/walk/0004.png")
    line = refused(root, flow="dis", frames="frames", predictions=path)
    assert "0000.png: 40x24 pixels, but " in line and "walk.mkv, frame 0 has 80x48" in line
    assert "walk.mkv, frame 0: id 3, but there are 2 classes" in refused(root, "--classes", 2, predictions=path)
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) * 3 // 4])
    assert "walk.mkv: cut off: it ends after" in refused(root, predictions=path)


# The page.


def embedded(page):
    """The pictures of a page, as files."""
    return [base64.b64decode(one) for one in re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)]


def test_the_page_holds_all_figures_and_needs_nothing_else(tmp_path):
    clips = tuple(f"c{number}" for number in range(7))
    root = world.make(tmp_path, clips, wrong=0.1)
    world.make(root, clips, wrong=0.3, name="other", frames=False, flow=False)
    more = ("--against", root / "other", "--label-set", "street", "--html", root / "tc.html")
    found = tc(root, *more, flow="dis", frames="frames")
    page = (root / "tc.html").read_text()
    for clip in found["clips"].values():
        assert f"<td>{100 * clip['tc']:.2f}</td><td>{100 * clip['agreement']:.2f}</td>" in page
    for one in ("tc", "agreement", "flip_rate"):
        low, value, high = (f"{100 * found[f'{one}{end}']:.2f}" for end in ("_low", "", "_high"))
        assert f"<b>{value} %</b>" in page and f"{low} to {high}" in page
    order = re.findall(r"</span>(\d) (\w+)</td>", page)
    assert order == [
        (one, STREET.names[int(one)])
        for one, value in sorted(found["per_class"].items(), key=lambda one: one[1] or 0)
        if value is not None
    ]
    assert "#{:02x}{:02x}{:02x}".format(*STREET.palette[0]) in page and "5 more classes do not occur" in page
    against = found["against"]
    assert f"{100 * against['difference']:+.2f} points" in page and f"p = {against['p_value']:.4f}" in page
    assert f"--predictions {root / 'predictions'} --frames {root / 'frames'} --flow dis --label-set street" in page
    assert "corrected: nearest warp" in page and "dis (medium)" in page and f"etc {version()}" in page
    assert "8 classes" not in page and page.count('<circle class="dot"') == 3 * 7 and page.count('worst"') == 5
    # Five pairs: a frame, and three pictures of each folder.
    assert len(embedded(page)) == 5 * (1 + 2 * 3)
    assert all(cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR).shape[1] == WIDTH for one in embedded(page))
    assert not re.search(r"https?:|<script|<link|@import|url\(|src=\"(?!data:)", page)


def test_the_page_of_one_clip_without_frames_or_names(tmp_path):
    root = world.make(tmp_path, ("<b>& walk",), wrong=0.1, frames=False)
    path = root / "predictions/<b>& walk/0004.png"
    path.write_bytes(path.read_bytes()[:60])
    more = ("--skip-bad", "--classes", CLASSES, "--ignore", 0, "--ignore", 255, "--html", root / "tc.html")
    tc(root, *more)
    page = (root / "tc.html").read_text()
    assert "&lt;b&gt;&amp; walk" in page and "<b>&" not in page
    assert page.count("no interval") > 2 and "<svg" not in page and "Compared with" not in page
    assert "the PNG ends within a chunk" in page and "ignored ids 0, 255" in page and "--skip-bad" in page
    assert len(embedded(page)) == 3 * 3 and "frame t<" not in page
    # The same command gives the same bytes, over the page that it made.
    tc(root, *more)
    assert (root / "tc.html").read_text() == page


def test_the_page_replaces_only_its_own_kind_and_appears_with_the_other_files(moving, monkeypatch):
    (moving / "tc.html").write_text("<html>mine</html>")
    line = refused(moving, "--html", moving / "tc.html")
    assert "tc.html: exists and was not made by this command" in line
    assert (moving / "tc.html").read_text() == "<html>mine</html>"
    assert "predictions/tc.html: inside the input" in refused(moving, "--html", moving / "predictions/tc.html")
    monkeypatch.setattr("etc.measure.page.page", lambda *_: 1 / 0)
    result = call("--predictions", moving / "predictions", "--flow", moving / "flow", "--workers", 1,
                  "--json", moving / "out.json", "--html", moving / "new/tc.html")  # fmt: skip
    assert result.exit_code == 1 and not (moving / "out.json").exists() and not (moving / "new").exists()
