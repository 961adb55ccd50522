"""The evaluate stage: which clips it takes, and that its tables hold every count once."""

import numpy as np
import pandas as pd
import pytest

from etc.evaluation.iou import confusion_matrix
from etc.stages import evaluate


@pytest.fixture
def frames():
    clips = [f"street_{number:06d}" for number in range(20)]
    return pd.DataFrame({"clip": np.repeat(clips, 3), "split": np.repeat(["dev"] * 5 + ["test"] * 15, 3)})


def test_the_whole_split_is_taken_in_order(frames):
    clips = evaluate.sample_clips(frames, "test", 1.0, 0)
    assert clips == sorted(clips) and len(clips) == 15


def test_a_share_is_a_fixed_random_choice_without_repeats(frames):
    first = evaluate.sample_clips(frames, "test", 0.4, 1)
    assert len(first) == len(set(first)) == 6 and first == sorted(first)
    assert first == evaluate.sample_clips(frames, "test", 0.4, 1)
    assert first != evaluate.sample_clips(frames, "test", 0.4, 2)


def test_at_least_one_clip_is_taken_and_none_of_an_empty_split(frames):
    assert len(evaluate.sample_clips(frames, "dev", 0.01, 0)) == 1
    assert evaluate.sample_clips(frames, "train", 1.0, 0) == []


def test_tables_hold_one_row_per_frame_and_class():
    generator = np.random.default_rng(0)
    records, expected = [], []
    for frame in range(3):
        truth, prediction = generator.integers(0, 4, (2, 10, 12)).astype(np.uint8)
        records.append(evaluate._accuracy("a", frame, confusion_matrix(prediction, truth, 4)))
        for one in range(4):
            hit, guess = truth == one, prediction == one
            expected.append(("a", frame, (hit & guess).sum(), (guess & ~hit).sum(), (hit & ~guess).sum(), one))
    table = evaluate._table(records, 4)
    assert table.column_names == ["clip", "frame", "tp", "fp", "fn", "class"]
    assert [tuple(row.values()) for row in table.to_pylist()] == expected
