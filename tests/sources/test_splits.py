"""Names of clips, and which clips go to which split."""

from collections import Counter

import pytest

from etc.core.errors import UserError
from etc.sources.clip_names import first_names, safe_names
from etc.sources.splits import Candidate, Splits, counts, deal


def candidates(**recordings):
    return [Candidate(f"{name}_{k}", name) for name, count in recordings.items() for k in range(count)]


def test_lists_and_patterns():
    clips = [Candidate("walk_1", "city/walk"), Candidate("walk_2", "city/walk"), Candidate("ride", "ride [1]")]
    chosen, notes = deal(clips, Splits(train=["walk_1"], test=["ride [[]1]"]))
    assert chosen == {"walk_1": "train", "ride": "test"}
    assert notes == ["1 clip is in no split and left out: walk_2", "no clip is in split dev"]
    assert deal(clips, Splits(train=["city/*"], dev=["ride [1]"]))[0] == dict.fromkeys(
        ("walk_1", "walk_2"), "train"
    ) | {"ride": "dev"}
    with pytest.raises(UserError, match=r"split\.dev: no clip is called 'wlak'; there are 3: walk_1, walk_2, ride"):
        deal(clips, Splits(train=["*"], dev=["wlak"]))
    with pytest.raises(
        UserError, match=r"split\.test: 'walk_2' matches clip 'walk_2', which split\.train contains too"
    ):
        deal(clips, Splits(train=["city/*"], test=["walk_2"]))


def test_shares_deal_whole_recordings_by_seed():
    clips = candidates(**{f"r{k:02d}": 3 for k in range(20)})
    chosen, notes = deal(clips, Splits(train=0.7, dev=0.1, test=0.2))
    assert notes == []
    assert Counter(chosen.values()) == {"train": 42, "dev": 6, "test": 12}
    assert len({(one.recording, chosen[one.clip]) for one in clips}) == 20
    assert deal(clips, Splits(train=0.7, dev=0.1, test=0.2))[0] == chosen
    assert deal(clips, Splits(train=0.7, dev=0.1, test=0.2, seed=1))[0] != chosen
    assert set(deal(clips, Splits(test=1.0))[0].values()) == {"test"}


def test_the_clips_of_few_recordings_are_dealt_in_order_of_time():
    chosen, notes = deal(candidates(walk=10), Splits(train=0.8, dev=0.1, test=0.1))
    assert list(chosen.values()) == ["train"] * 8 + ["dev", "test"]
    assert notes[0].startswith("fewer recordings (1) than splits with a share (3): the 10 clips are dealt in order")
    chosen, notes = deal(candidates(walk=1), Splits(train=0.8, dev=0.1, test=0.1))
    assert chosen == {"walk_0": "train"} and notes == ["no clip is in split dev and test"]


@pytest.mark.parametrize(
    ("number", "parts"),
    [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (10, [7, 1, 2]), (13, [9, 1, 3])],
)
def test_counts_add_up_and_leave_no_share_empty(number, parts):
    assert list(counts(number, {"train": 0.7, "dev": 0.1, "test": 0.2}).values()) == parts
    assert sum(counts(number, {"train": 0.7, "dev": 0.1, "test": 0.2}).values()) == number


def test_safe_names():
    names = ["a/walk", "walk", "Übung 1", "日本", "WALK", "-x", "a b", "a_b", "plain_1"]
    safe = safe_names(names)
    assert safe["a/walk"] == "a_walk" and safe["Übung 1"] == "Ubung_1" and safe["plain_1"] == "plain_1"
    assert safe["-x"] == "x" and safe["日本"].startswith("clip_")
    assert all(one.replace("_", "").isalnum() and one.isascii() for one in safe.values())
    assert len({one.lower() for one in safe.values()}) == len(names)
    assert safe_names(reversed(names)) == safe
    assert safe_names(["bad-honnef_1"], keep="-") == {"bad-honnef_1": "bad-honnef_1"}
    assert safe_names([" -a"], keep="-") == {" -a": "a"}


def test_messages_name_the_first_three():
    assert first_names(["a", "", "c"]) == "a, files without a clip name, c"
    assert first_names(iter("abcde")) == "a, b, c, ..."
