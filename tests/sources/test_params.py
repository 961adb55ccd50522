"""Wrong parameters of the sources: each is named in one line."""

import json

import pytest

from etc.core.errors import UserError
from etc.params import frames

ORIGINAL = {"form": "original", "mapping": "drop"}
CASES = {
    "camvid": [
        ({"form": "original"}, "original needs mapping"),
        ({"mapping": "drop"}, "mapping is 'drop', which only form: original has"),
        ({"videos": "v", "neighbours": 1}, "videos is 'v', which only form: original has"),
        (ORIGINAL | {"neighbours": 1}, "no video to cut them from"),
        (ORIGINAL | {"videos": "v"}, "nothing is cut"),
        (ORIGINAL | {"first_frames": {"0016E5": 390}}, "first_frames is given without"),
        (
            ORIGINAL | {"videos": "v", "neighbours": 1, "first_frames": {"0016E5": -1}},
            "begins with frame -1",
        ),
        (ORIGINAL | {"videos": "v", "neighbours": 15}, "less than or equal to 14"),
        (
            ORIGINAL | {"videos": "v", "neighbours": 3, "split": "video", "gap": 2},
            "reach over the gap",
        ),
        ({"split": "video", "train_share": 0.6, "dev_share": 0.4}, "less than a tenth"),
        ({"split": "other"}, "published"),
        ({"test_sequences": ["0001TP", "0001TP"]}, "test_sequences' = .*'0001TP' is named twice"),
        ({"split": "video", "test_sequences": ["0001TP"]}, "test_sequences is for split: published"),
    ],
    "cityscapes": [
        (
            {"splits": {"train": ["train", "val"], "test": []}},
            r"key 'own\.splits\.train' = .*folder val is .*train\+\+",
        ),
        (
            {"splits": {"train": ["train", "test"], "test": []}},
            r"key 'own\.splits\.train' = .*folder test is .*train\+\+",
        ),
        ({"splits": {"dev": ["val"]}}, r"key 'own\.splits': folder val is listed twice"),
        ({"splits": {"train": []}}, r"splits\.train'"),
        ({"splits": {"dev": ["train_extra"]}}, r"splits\.dev' = .*coarse"),
        ({"splits": {"train": ["valid"]}}, r"splits\.train\.0' = 'valid'"),
        ({"splits": {"train": ["train_extra"]}, "dev_cities": ["ulm"]}, "dev_cities takes cities out of folder train"),
        ({"splits": {"train": ["train", "train_extra"]}, "extra": True}, "choose one"),
        ({"dev_cities": ["ulm", "ulm"]}, "dev_cities' = .*named twice"),
        ({"labels": "colour"}, "labels' = 'colour'"),
        ({"sequence": True}, "'own.sequence' = True is unknown; did you mean 'sequences'"),
    ],
    "folder": [
        ({"classes": "street", "images": "../x"}, r"key 'own\.images' = '\.\./x': must be a folder below root"),
        ({"classes": "street", "labels": "/x"}, r"key 'own\.labels' = '/x': must be a folder below root"),
        ({"classes": "street", "images": "."}, r"images is '\.' and labels is 'labels', one inside the other"),
        ({"images": "a"}, r"key 'own\.classes' is missing"),
        ({"classes": "street", "split": {"train": 0.5}}, r"shares of train, dev and test add up to 0\.5; make it 1"),
        (
            {"classes": "street", "split": {"train": 1.5}},
            r"key 'own\.split\.train' = 1\.5: a share must be from 0 to 1",
        ),
        ({"classes": "street", "split": {"train": 0.5, "dev": ["a"]}}, r"shares and lists of clips are mixed"),
        ({"classes": "street", "split": {"train": "a"}}, r"key 'own\.split\.train' = 'a': give a share .* or a list"),
        ({"classes": "street", "split": {"train": []}}, r"lists of train, dev and test are empty"),
        ({"classes": "street", "split": {}}, r"no split is given"),
        ({"classes": "street", "annotated": -1}, r"key 'own\.annotated' = -1: .*allowed: >= 0 and <= 1000000"),
        ({"classes": "street", "stride": 1}, r"key 'own\.stride' = 1 is unknown"),
    ],
    "street": [
        ({"annotated": 12}, "annotated is 12"),
        ({"max_offset": 5, "frames_per_clip": 5, "annotated": 0}, "max_offset is 5"),
        ({"height": 8}, "greater than or equal to 32"),
        ({"hight": 128}, r"key 'own\.hight' = 128 is unknown"),
        ({"disturbance": {"noise": 2}}, "less than or equal to 0.5"),
    ],
    "video": [
        ({"classes": "street", "height": 100}, r"key 'own\.height' = 100: input should be a multiple of 8"),
        ({"classes": "street", "rate": 0}, r"key 'own\.rate' = 0: .*allowed: > 0 and <= 1000"),
        ({"classes": "street", "clip_frames": 1}, r"key 'own\.clip_frames' = 1: .*allowed: >= 2"),
        ({"classes": "street", "format": "gif"}, r"key 'own\.format' = 'gif': input should be 'png' or 'jpg'"),
        ({"classes": "street", "files": []}, r"key 'own\.files'"),
        ({}, r"key 'own\.classes' is missing"),
    ],
}


@pytest.mark.parametrize(
    ("source", "block", "message"), [(source, *case) for source, cases in CASES.items() for case in cases]
)
def test_wrong_parameters_are_named_in_one_line(tmp_path, source, block, message):
    path = tmp_path / "frames.yaml"
    # JSON is YAML with every text in quotes; without them 0016E5 is a number.
    path.write_text(json.dumps({"own": {"source": source} | block}))
    with pytest.raises(UserError, match=message) as raised:
        frames.load("own", path)
    assert str(raised.value).startswith(f"{path}: key 'own") and "\n" not in str(raised.value)
