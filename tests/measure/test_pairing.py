"""Which pairs are compared, and that no pair is dropped without a reason."""

from itertools import pairwise

import pytest

from etc.core.errors import UserError
from etc.measure.pairing import plan_clips, unpredicted_clips
from etc.sources.folder.layouts import detected_step, read_folder


def folder(root, clips, pattern="{clip}/{number:04d}.png"):
    for clip, numbers in clips.items():
        for number in numbers:
            path = root / pattern.format(clip=clip, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return read_folder(root, [".png"])


CITYSCAPES = "{clip}_{number:06d}_leftImg8bit.png"


@pytest.mark.parametrize(
    ("numbers", "step"),
    [([0, 1, 2], 1), ([7, 9, 11, 12, 14], 2), ([0, 30, 60], 30), ([0, 1, 3], 1), ([5], None), ([0, 4], 4)],
)
def test_the_step_is_the_most_common_difference(numbers, step):
    assert detected_step(numbers) == step


def test_every_pair_of_a_complete_clip(tmp_path):
    predictions = folder(tmp_path / "p", {"a": range(4), "b": range(10, 19, 3)})
    frames = folder(tmp_path / "f", {"a": range(4), "b": range(10, 19), "unused": [0]})
    one, other = plan_clips(predictions, frames)
    assert (one.name, one.step, one.pairs, one.skipped) == ("a", 1, ((0, 1), (1, 2), (2, 3)), ())
    # Frames between the steps of the predictions are no missing predictions.
    assert (other.step, other.pairs, other.skipped) == (3, ((10, 13), (13, 16)), ())


def test_a_gap_in_both_folders(tmp_path):
    numbers = [0, 1, 2, 5, 6]
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": numbers}), folder(tmp_path / "f", {"a": numbers}))
    assert plan.pairs == ((0, 1), (1, 2), (5, 6))
    (gap,) = plan.skipped
    assert (gap.source, gap.target) == (2, 5)
    assert gap.reason.endswith("a/0005.png: frame 5 of clip a follows frame 2, but the clip's step is 1")


def test_missing_predictions_are_named_by_their_frames(tmp_path):
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": [1, 2, 4]}), folder(tmp_path / "f", {"a": range(6)}))
    assert plan.pairs == ((1, 2),)
    assert [(pair.source, pair.target) for pair in plan.skipped] == [(0, 1), (2, 3), (3, 4), (4, 5)]
    assert plan.skipped[0].reason.endswith("f/a/0000.png: no prediction for frame 0 of clip a")
    assert "0003.png: no prediction" in plan.skipped[1].reason and "0005.png: no prediction" in plan.skipped[3].reason


def test_predictions_without_a_frame_are_named(tmp_path):
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": range(4)}), folder(tmp_path / "f", {"a": range(3)}))
    assert plan.pairs == ((0, 1), (1, 2))
    (extra,) = plan.skipped
    assert "p/a/0003.png" in extra.reason and "has no frame 3 of clip a" in extra.reason


def test_a_clip_without_frames_and_a_clip_of_one_frame(tmp_path):
    predictions = folder(tmp_path / "p", {"a": range(3), "b": [0]})
    missing, single = plan_clips(predictions, folder(tmp_path / "f", {"b": [0], "c": [0]}))
    assert missing.pairs == single.pairs == ()
    assert missing.skipped[0].reason.endswith("f: no frames of clip a (it has b, c); give both one name")
    assert single.skipped[0].reason.endswith("b/0000.png: clip b has one frame only, so no pair")
    assert single.skipped[0].source is None


def test_clips_without_any_prediction(tmp_path):
    frames = {"ulm_000001": [*range(3), *range(50, 53)], "ulm_000002": range(3), "ulm_000003": range(3)}
    predictions = folder(tmp_path / "p", {"ulm_000001": [50, 51], "ulm_000003": range(3)}, CITYSCAPES)
    found = unpredicted_clips(predictions, folder(tmp_path / "f", frames, CITYSCAPES))
    assert found == ["ulm_000001_000000-000002", "ulm_000002"]


def test_one_prediction_of_a_longer_clip_misses_the_others(tmp_path):
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": [1]}), folder(tmp_path / "f", {"a": range(3)}))
    assert plan.pairs == () and [pair.target for pair in plan.skipped] == [1, 2]


def test_a_long_cityscapes_recording_is_cut_where_its_numbering_jumps(tmp_path):
    numbers = [*range(100, 103), *range(200, 203), 205]
    predictions = folder(tmp_path / "p", {"ulm_000001": numbers, "ulm_000002": range(3)}, CITYSCAPES)
    first, second, short = plan_clips(predictions)
    assert [plan.name for plan in (first, second, short)] == [
        "ulm_000001_000100-000102",
        "ulm_000001_000200-000205",
        "ulm_000002",
    ]
    assert first.pairs == ((100, 101), (101, 102)) and first.skipped == ()
    # A small jump is a gap.
    assert second.pairs == ((200, 201), (201, 202)) and len(second.skipped) == 1


def test_frames_distinguish_a_missing_stretch_from_the_next_clip(tmp_path):
    predictions = folder(tmp_path / "p", {"ulm_000001": [0, 1, 2, 10, 11]}, CITYSCAPES)
    assert len(plan_clips(predictions, folder(tmp_path / "f", {"ulm_000001": [0, 1, 2, 10, 11]}, CITYSCAPES))) == 2
    (plan,) = plan_clips(predictions, folder(tmp_path / "g", {"ulm_000001": range(12)}, CITYSCAPES))
    assert len(plan.pairs) == 3 and len(plan.skipped) == 8


def test_a_listed_annotated_frame_stands_for_its_thirty_frames(tmp_path):
    predictions = folder(tmp_path / "p", {"ulm_000001": range(90), "ulm_000002": range(30)}, CITYSCAPES)
    (plan,) = plan_clips(predictions, None, ["ulm_000001_000049"])
    assert plan.name == "ulm_000001_000049" and plan.video == "ulm_000001"
    assert plan.pairs == tuple((number, number + 1) for number in range(30, 59)) and not plan.skipped
    assert [one.name for one in plan_clips(predictions, None, ["ulm_000002", "ulm_000001_000019"])] == [
        "ulm_000001_000019",
        "ulm_000002",
    ]


def test_a_listed_clip_is_expected_whole(tmp_path):
    predictions = folder(tmp_path / "p", {"ulm_000001": range(5, 30)}, CITYSCAPES)
    (plan,) = plan_clips(predictions, None, ["ulm_000001_000019"])
    assert len(plan.pairs) == 24 and len(plan.skipped) == 5
    assert plan.skipped[0].reason.endswith("p: no prediction for frame 0 of clip ulm_000001_000019")


def test_listed_clips_that_are_not_there(tmp_path):
    predictions = folder(tmp_path / "p", {"ulm_000001": range(30), "ulm_000002": range(30)}, CITYSCAPES)
    here, *missing = plan_clips(predictions, None, ["ulm_000001", "jena_000000_000019", "ulm_000002_000100"])
    assert here.name == "ulm_000001" and len(here.pairs) == 29
    assert [plan.skipped[0].reason.split(": ")[1] for plan in missing] == [
        "no prediction of the listed clip jena_000000_000019",
        "no prediction of the listed clip ulm_000002_000100",
    ]
    with pytest.raises(UserError, match="no prediction for 2 of the listed clips, first jena_000000_000019"):
        plan_clips(predictions, None, ["jena_000000_000019", "ulm_000002_000100"])


def test_folders_of_clips_may_be_listed(tmp_path):
    predictions = folder(tmp_path / "p", {"a": range(3), "b": range(3)})
    assert [plan.name for plan in plan_clips(predictions, None, ["b"])] == ["b"]


NANOSECONDS = 1_700_000_000_000_000_000


def times(*milliseconds):
    return [NANOSECONDS + 1_000_000 * one for one in milliseconds]


def test_times_are_paired_by_their_order_and_a_long_pause_is_a_gap(tmp_path):
    numbers = times(0, 33, 67, 100, 134, 200, 233)
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": numbers}), folder(tmp_path / "f", {"a": numbers}))
    assert plan.step == 33_000_000
    assert plan.pairs == tuple((one, two) for one, two in pairwise(numbers) if (one, two) != (numbers[4], numbers[5]))
    (gap,) = plan.skipped
    assert (gap.source, gap.target) == (numbers[4], numbers[5]) and "the clip's step is 33000000" in gap.reason


def test_missing_predictions_of_times_are_named_by_their_frames(tmp_path):
    frames = times(0, 33, 67, 100, 134, 167, 200)
    predictions = [frames[place] for place in (1, 2, 4, 5)]
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": predictions}), folder(tmp_path / "f", {"a": frames}))
    assert plan.pairs == ((frames[1], frames[2]), (frames[4], frames[5]))
    missing = [pair.reason.split(":")[0].rsplit("/", 1)[1] for pair in plan.skipped]
    assert missing == [f"{frames[place]}.png" for place in (0, 3, 3, 6)]


def test_predictions_of_every_second_time_lack_nothing(tmp_path):
    frames = times(*range(0, 400, 33))
    (plan,) = plan_clips(folder(tmp_path / "p", {"a": frames[::2]}), folder(tmp_path / "f", {"a": frames}))
    assert plan.pairs == tuple(pairwise(frames[::2])) and plan.skipped == ()


@pytest.mark.parametrize("far", [2_000_000_000, 9_999_999_999_999_999, 2**63 - 1])
@pytest.mark.parametrize("with_frames", [False, True])
def test_a_number_far_from_all_others_is_a_gap(tmp_path, far, with_frames):
    predictions = folder(tmp_path / "p", {"a": [0, 1, 2, far]})
    frames = folder(tmp_path / "f", {"a": [0, 1, 2, far]}) if with_frames else None
    (plan,) = plan_clips(predictions, frames)
    assert plan.pairs == ((0, 1), (1, 2))
    (gap,) = plan.skipped
    assert f"frame {far} of clip a follows frame 2, but the clip's step is 1" in gap.reason
