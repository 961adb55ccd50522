import random
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from etc.commands.verification_text import text
from etc.dataset.label_sets import STREET
from etc.dataset.pictures import Problem
from etc.sources.check import verification
from etc.sources.check.inspection import SCHEMA
from etc.sources.check.verification import KINDS, problems, verify
from etc.sources.folder.layouts import detected_step
from etc.sources.source import Frame, Gap


def frame(clip: str, number: int, split: str = "train", labelled: bool = False) -> Frame:
    label = f"{clip}/{number}_id.png" if labelled else ""
    return Frame(clip, number, split, labelled, f"{clip}/{number}.png", label)


def clip(name: str, numbers, split: str = "train") -> list[Frame]:
    return [frame(name, number, split, place == 0) for place, number in enumerate(numbers)]


def inspected(frames: list[Frame], **changes: dict) -> pd.DataFrame:
    """Sound files; ``changes`` by path with '/' and '.' as '_', e.g. ``a_1_png={"problem": "empty"}``."""
    rows = []
    for path, kind in dict.fromkeys(
        (path, kind) for one in frames for path, kind in ((one.image, "image"), (one.label, "label")) if path
    ):
        row = {"path": path, "kind": kind, "bytes": 1000, "modified": 1, "checksum": f"hash of {path}", "width": 8}
        row |= {"height": 4, "deep": True, "problem": "", "detail": "", "counts": None}
        if kind == "label":
            row["counts"] = np.array([2, 0, 10] + [0] * (STREET.count - 3) + [20])
        rows.append(row | changes.pop(path.replace("/", "_").replace(".", "_"), {}))
    assert not changes
    return pd.DataFrame(rows, columns=SCHEMA.names)


def found(frames: list[Frame], **changes: dict) -> list[tuple[str, str, str]]:
    report = verify(frames, inspected(frames, **changes), STREET)
    return list(report.findings[["kind", "path", "detail"]].itertuples(index=False, name=None))


SOUND = [*clip("a", range(5)), *clip("b", range(10, 20, 2), "dev"), *clip("c", [7], "test")]


def test_a_sound_data_set():
    report = verify(SOUND, inspected(SOUND), STREET)
    assert report.findings.empty and problems(report) == 0
    assert report.totals == {"frames": 11, "images": 11, "labels": 3, "bytes": 14_000, "deep": 14}
    expected = pd.DataFrame(
        {
            "clip": ["a", "b", "c"],
            "split": ["train", "dev", "test"],
            "frames": [5, 5, 1],
            "labelled": [1, 1, 1],
            "step": [1, 2, 0],
            "gaps": 0,
            "lacking": 0,
            "pairs": [4, 4, 0],
            "errors": 0,
            "warnings": 0,
        }
    )
    pd.testing.assert_frame_equal(report.clips, expected, check_dtype=False)


def test_the_order_of_the_frames_does_not_matter():
    shuffled = random.Random(0).sample(SOUND, len(SOUND))
    one, other = (verify(frames, inspected(frames), STREET) for frames in (SOUND, shuffled))
    pd.testing.assert_frame_equal(one.clips, other.clips)


@pytest.mark.parametrize("kind", get_args(Problem))
def test_what_the_inspection_found_is_an_error(kind):
    assert found(SOUND, a_2_png={"problem": kind, "detail": "so it is"}) == [(kind, "a/2.png", "so it is")]
    report = verify(SOUND, inspected(SOUND, a_0_id_png={"problem": kind}), STREET)
    assert report.findings["path"].tolist() == ["a/0_id.png"]
    assert problems(report) == 1
    assert report.clips.set_index("clip")["errors"].to_dict() == {"a": 1, "b": 0, "c": 0}
    assert report.clips["pairs"].tolist() == [4, 4, 0]


@pytest.mark.parametrize(("kind", "pairs"), [("missing", 2), ("truncated", 2), ("mode", 4)])
def test_a_frame_without_pixels_makes_no_pair(kind, pairs):
    report = verify(SOUND, inspected(SOUND, a_2_png={"problem": kind}), STREET)
    assert report.clips["pairs"].tolist() == [pairs, 4, 0]


def test_sizes():
    frames = SOUND[:5]
    assert found(frames, a_3_png={"width": 9}) == [("size", "a/3.png", "9x4 pixels, most of its clip 8x4")]
    assert found(frames, a_0_id_png={"height": 5}) == [("size", "a/0_id.png", "8x5 pixels, its image 8x4")]
    # Of a damaged file the size is not known.
    unknown = {"width": 0, "height": 0, "problem": "damaged"}
    assert found(frames, a_3_png=unknown) == [("damaged", "a/3.png", "")]
    assert found(SOUND[-1:], c_7_png=unknown) == [("damaged", "c/7.png", "")]


def test_a_clip_of_another_size_than_most_is_a_warning():
    half = {"width": 4, "height": 2}
    assert found(SOUND, c_7_png=half, c_7_id_png=half) == [("clip_size", "c/7.png", "4x2 pixels, most images 8x4")]
    report = verify(SOUND, inspected(SOUND, c_7_png=half, c_7_id_png=half), STREET)
    assert problems(report) == 0
    assert report.clips.set_index("clip")["warnings"].to_dict() == {"a": 0, "b": 0, "c": 1}
    # One finding for a whole clip, at the first image that has its size; one of yet another size is an error.
    wide = {f"b_{number}_png": {"width": 16} for number in range(12, 20, 2)}
    assert found(SOUND, **wide, b_10_id_png={"width": 8}) == [
        ("size", "b/10.png", "8x4 pixels, most of its clip 16x4"),
        ("clip_size", "b/12.png", "16x4 pixels, most images 8x4"),
    ]


def test_most_images_are_counted_over_all_clips():
    frames = [*clip("a", range(3)), *(one for name in "bcde" for one in clip(name, [0]))]
    half = {f"{name}_{kind}": {"width": 4} for name in "bcde" for kind in ("0_png", "0_id_png")}
    assert [path for _, path, _ in found(frames, **half)] == ["a/0.png"]
    # Of as many the larger size is taken for the right one.
    assert [path for _, path, _ in found(frames[:-1], **dict([*half.items()][:-2]))] == [
        "b/0.png",
        "c/0.png",
        "d/0.png",
    ]


def test_the_same_content_twice():
    same = {"checksum": "same"}
    assert found(SOUND, a_1_png=same, a_3_png=same) == [
        ("duplicate_clip", "a/3.png", "in train; the same content as a/1.png in train")
    ]
    frames = [*SOUND, *clip("d", range(3))]
    assert found(frames, a_1_png=same, d_2_png=same) == [
        ("duplicate_clips", "d/2.png", "in train; the same content as a/1.png in train")
    ]
    three = found(frames, a_1_png=same, b_12_png=same, d_2_png=same)
    assert three == [
        ("duplicate_splits", "b/12.png", "in dev; the same content as a/1.png in train"),
        ("duplicate_clips", "d/2.png", "in train; the same content as a/1.png in train"),
    ]
    # Labels of a still camera may be equal, and files that cannot be read are not.
    assert found(SOUND, a_0_id_png=same, b_10_id_png=same) == []
    gone = {"checksum": "", "problem": "missing"}
    assert {kind for kind, _, _ in found(SOUND, a_1_png=gone, b_12_png=gone)} == {"missing"}


def test_a_file_that_two_clips_list():
    frames = [*SOUND, Frame("d", 3, "test", False, "a/1.png")]
    assert found(frames) == [("duplicate_splits", "a/1.png", "in test; the same content as a/1.png in train")]


def test_only_the_same_frame_in_two_splits_is_an_error():
    same = {"checksum": "same"}
    for other, count in (("a_2_png", 0), ("b_12_png", 1)):
        assert problems(verify(SOUND, inspected(SOUND, a_1_png=same, **{other: same}), STREET)) == count


def test_gaps():
    """As sources list them: a clip ends before each gap, and another begins behind it."""
    frames = [*clip("a", [0, 2, 4]), *clip("a_10", [10, 12]), *clip("a_16", [16]), *clip("b", range(3), "dev")]
    gaps = [Gap("a_16", 16, 12, 1), Gap("a_10", 10, 4, 2)]
    report = verify(frames, inspected(frames), STREET, gaps=gaps)
    assert report.findings.to_numpy().tolist() == [
        ["gap", "a_10", "a_10/10.png", "frame 10 follows 4, 2 frames are missing"],
        ["gap", "a_16", "a_16/16.png", "frame 16 follows 12, 1 frame is missing"],
    ]
    assert problems(report) == 0
    clips = report.clips.set_index("clip")
    assert clips["gaps"].to_dict() == {"a": 0, "a_10": 1, "a_16": 1, "b": 0}
    assert clips["lacking"].to_dict() == {"a": 0, "a_10": 2, "a_16": 1, "b": 0}
    assert clips["warnings"].tolist() == [0, 1, 1, 0] and clips["pairs"].tolist() == [2, 1, 0, 2]


def test_gaps_in_clips_of_a_source_that_does_not_cut_them():
    """None of ours does that, but nothing keeps a source that a user has added from it."""
    frames = clip("a", [0, 2, 4, 10, 12, 13])
    report = verify(frames, inspected(frames), STREET, gaps=[Gap("a", 0, -4, 1)])
    assert report.findings["detail"].tolist() == [
        "frame 0 follows -4, 1 frame is missing",
        "frame 10 follows 4, the step is 2",
        "frame 13 follows 12, the step is 2",
    ]
    row = report.clips.iloc[0]
    assert (row["step"], row["gaps"], row["lacking"], row["pairs"], row["warnings"]) == (2, 3, 3, 3, 3)


def test_the_step_is_that_of_the_evaluation():
    """Also of clips that a source has not cut at gaps."""
    draw = random.Random(3)
    clips = {f"{number:03d}": sorted(draw.sample(range(30), draw.randint(1, 9))) for number in range(100)}
    frames = [frame(name, number) for name, numbers in clips.items() for number in numbers]
    report = verify(frames, inspected(frames), STREET).clips.set_index("clip")
    assert report["step"].to_dict() == {name: detected_step(numbers) or 0 for name, numbers in clips.items()}
    for name, numbers in clips.items():
        step = detected_step(numbers)
        assert report.loc[name, "pairs"] == sum(number + step in numbers for number in numbers if step) - sum(
            # Two frames a step apart with another between them are no neighbours.
            any(number < other < number + step for other in numbers)
            for number in numbers
            if step and number + step in numbers
        )


def test_a_frame_listed_twice():
    frames = [*SOUND, frame("a", 2)._replace(image="a/2_again.png")]
    assert found(frames) == [("twice", "a/2_again.png", "frame 2")]
    assert verify(frames, inspected(frames), STREET).clips["gaps"].tolist() == [0, 0, 0]


def test_what_differs_from_the_manifest():
    manifest = pd.DataFrame(
        {
            "clip": [one.clip for one in SOUND],
            "image": [one.image for one in SOUND],
            "label": [one.label for one in SOUND],
            "checksum": [f"hash of {one.image}" for one in SOUND],
            "label_checksum": [f"hash of {one.label}" if one.label else "" for one in SOUND],
        }
    )
    assert verify(SOUND, inspected(SOUND), STREET, manifest).findings.empty
    files = inspected(SOUND[:-1], a_1_png={"checksum": "new"}, b_10_id_png={"checksum": "new"})
    report = verify(SOUND[:-1], files, STREET, manifest)
    assert report.findings[["kind", "clip", "path"]].to_numpy().tolist() == [
        ["missing", "c", "c/7.png"],
        ["missing", "c", "c/7_id.png"],
        ["changed", "a", "a/1.png"],
        ["changed", "b", "b/10_id.png"],
    ]
    assert problems(report) == 4


def test_the_classes():
    report = verify(SOUND, inspected(SOUND), STREET)
    assert report.classes["class"].tolist() == [*STREET.names, "ignored"]
    assert report.classes["pixels"].tolist() == [6, 0, 30, *[0] * (STREET.count - 3), 60]
    assert report.classes["share"].sum() == pytest.approx(1)
    assert report.classes["labels"].tolist()[:3] == [3, 0, 3]
    files = inspected(SOUND).assign(counts=None, deep=False)
    report = verify(SOUND, files, STREET)
    assert report.classes.empty
    assert "the pixels were not read" in text(report)


def test_the_table_for_readers():
    frames = [*SOUND, *(one for number in range(50) for one in clip(f"x{number:02d}", [5, 6]))]
    gaps = [Gap(f"x{number:02d}", 5, 1, 3) for number in range(50)]
    half = {"width": 4, "height": 2}
    files = inspected(frames, a_2_png={"problem": "truncated", "detail": "no end"}, c_7_png=half, c_7_id_png=half)
    report = verify(frames, files, STREET, gaps=gaps)
    shown = text(report, few=2, worst=4)
    lines = shown.splitlines()
    assert len(lines) < 60 and not shown.endswith("\n") and all(line == line.rstrip() for line in lines)
    assert all(title in shown for title, _ in KINDS.values())
    column = lines[0].index("which")
    assert [line[column:] for line in lines if line.startswith(" truncated")] == ["a/2.png: no end"]
    start = next(place for place, line in enumerate(lines) if line.startswith(" gap in a sequence (warning)"))
    assert [line[column:] for line in lines[start : start + 3]] == [
        "x00/5.png: frame 5 follows 1, 3 frames are missing",
        "x01/5.png: frame 5 follows 1, 3 frames are missing",
        "and 48 more",
    ]
    start = next(place for place, line in enumerate(lines) if line.startswith(" differs in size from most (warning)"))
    assert lines[start][column:] == "c/7.png: 4x2 pixels, most images 8x4"
    clips = [line.split()[1] for line in lines if line.startswith(" clip ")]
    # The clip with the error first.
    assert clips == ["a", "c", "x00", "x01"]
    assert any(line.startswith(" and 48 more clips") for line in lines)
    assert any("step 1, 1 gap, 3 frames missing, 0 errors, 1 warning" in line for line in lines)
    assert "\x1b" not in shown


def test_clips_in_order_are_not_shown_one_by_one():
    shown = text(verify(SOUND, inspected(SOUND), STREET))
    assert not any(line.startswith(" clip ") for line in shown.splitlines())


def test_the_table_for_programs(tmp_path):
    same = {"checksum": "same"}
    gaps = [Gap("c", 7, 2, 4)]
    report = verify(
        SOUND,
        inspected(SOUND, a_1_png=same, b_12_png=same, c_7_png={"width": 9}, c_7_id_png={"width": 9}),
        STREET,
        gaps=gaps,
    )
    table = verification.table(report)
    assert table.schema == verification.SCHEMA
    pq.write_table(table, tmp_path / "a.parquet")
    rows = pd.read_parquet(tmp_path / "a.parquet")
    totals = rows[rows["subject"].eq("total")].set_index("kind")["value"]
    assert (totals["frames"], totals["duplicate_splits"], totals["missing"]) == (11, 1, 0)
    assert (totals["clip_size"], totals["gap"]) == (1, 1)
    assert set(KINDS) <= set(totals.index)
    assert rows[rows["subject"].eq("file")].to_numpy().tolist() == [
        ["file", "b", "b/12.png", "duplicate_splits", 1.0, "in dev; the same content as a/1.png in train"],
        ["file", "c", "c/7.png", "clip_size", 1.0, "9x4 pixels, most images 8x4"],
        ["file", "c", "c/7.png", "gap", 1.0, "frame 7 follows 2, 4 frames are missing"],
    ]
    of_c = rows[rows["subject"].eq("clip") & rows["clip"].eq("c")].set_index("kind")["value"]
    assert (of_c["gaps"], of_c["lacking"], of_c["warnings"]) == (1, 4, 2)
    pairs = rows[rows["subject"].eq("clip") & rows["kind"].eq("pairs")]
    assert pairs[["clip", "detail", "value"]].to_numpy().tolist() == [
        ["a", "train", 4],
        ["b", "dev", 4],
        ["c", "test", 0],
    ]
    pixels = rows[rows["subject"].eq("class") & rows["kind"].eq("pixels")].set_index("detail")["value"]
    assert pixels.to_dict() == report.classes.set_index("class")["pixels"].to_dict()


def test_every_problem_of_the_inspection_has_a_title():
    assert set(get_args(Problem)) <= set(KINDS)
