"""Classes of a user's own data."""

import numpy as np
import pytest
import yaml

from etc.core.errors import UserError
from etc.dataset.label_sets import CITYSCAPES, LabelSet
from etc.sources.class_file import load

ROAD = {"name": "road", "ids": [0, 7], "colour": [128, 64, 128]}
CAR = {"name": "car", "ids": [1], "colour": [0, 0, 142]}


def written(folder, **content):
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    return load("own.yaml", folder)


def test_ids(tmp_path):
    made = written(tmp_path, labels="ids", classes=[ROAD, CAR])
    assert (made.name, made.names, made.palette) == ("own", ("road", "car"), ((128, 64, 128), (0, 0, 142)))
    source = np.array([[0, 7, 1, 255]], np.uint8)
    assert made.encode(source).tolist() == [[0, 0, 1, 255]]
    assert made.foreign(np.array([0, 1, 3, 255], np.uint8)) == [3]
    assert not made.in_colours
    assert LabelSet.from_json(made.to_json()) == made


def test_other_ids_can_be_ignored_and_ids_default_to_places(tmp_path):
    classes = [{key: one[key] for key in ("name", "colour")} for one in (ROAD, CAR)]
    made = written(tmp_path, classes=classes, ignore=[9], other="ignore")
    assert made.encode(np.array([0, 1, 9, 200], np.uint8)).tolist() == [0, 1, 255, 255]
    assert made.foreign(np.array([0, 1, 9, 200], np.uint8)) == []
    assert written(tmp_path, classes=classes, ignore=[9]).foreign(np.array([9, 255], np.uint8)) == [255]


def test_colours(tmp_path):
    lane = CAR | {"colours": [[0, 0, 142], [0, 0, 70]]}
    made = written(tmp_path, labels="colours", classes=[ROAD, lane], ignore_colours=[[0, 0, 0]])
    source = np.array([[[128, 64, 128], [0, 0, 142], [0, 0, 70], [0, 0, 0], [1, 2, 3]]], np.uint8)
    assert made.in_colours
    assert made.encode(source).tolist() == [[0, 1, 1, 255, 255]]
    assert made.foreign(source) == [(1, 2, 3)]
    lenient = written(tmp_path, labels="colours", classes=[ROAD, lane], other="ignore")
    assert lenient.foreign(source) == []
    assert LabelSet.from_json(made.to_json()) == made


def test_254_classes_fit(tmp_path):
    classes = [{"name": f"c{k}", "colour": [k, 0, 0]} for k in range(254)]
    assert written(tmp_path, classes=classes).count == 254


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classes": [ROAD, CAR], "label": "ids"}, r"key 'label' = 'ids' is unknown; did you mean 'labels'"),
        ({"classes": [ROAD, CAR | {"color": [1, 2, 3]}]}, r"key 'classes\.1'.*key 'color' is unknown; .*name, ids"),
        ({"classes": [ROAD, "car"]}, r"key 'classes\.1' = 'car': a class must be like"),
        ({"classes": [ROAD, {"name": "car"}]}, r"key 'classes\.1\.colour' is missing"),
        ({"labels": "ids"}, r"key 'classes' is missing"),
        ({"labels": "rgb", "classes": [ROAD, CAR]}, r"key 'labels' = 'rgb': input should be 'ids' or 'colours'"),
        ({"classes": [ROAD]}, r"key 'classes': 1 given; 2 to 254"),
        ({"classes": [{"name": f"c{k}", "colour": [k, 0, 0]} for k in range(255)]}, r"255 given; 2 to 254"),
        ({"classes": [ROAD, CAR | {"name": "road"}]}, r"name 'road' is listed twice, in class 0 and in class 1"),
        ({"classes": [ROAD, CAR | {"ids": [7]}]}, r"id 7 is listed twice, in class 'road' and in class 'car'"),
        ({"classes": [ROAD, CAR | {"ids": [255]}]}, r"id 255 is listed twice, in class 'car' and in ignore"),
        ({"classes": [ROAD, CAR], "ignore": [1]}, r"id 1 is listed twice, in class 'car' and in ignore"),
        (
            {"classes": [ROAD, CAR | {"colour": [128, 64, 128]}]},
            r"colour \[128, 64, 128\] is listed twice, in class 'road'",
        ),
        (
            {"labels": "colours", "classes": [ROAD, CAR], "ignore_colours": [[0, 0, 142]]},
            r"colour \[0, 0, 142\] is listed twice, in class 'car' and in ignore_colours",
        ),
        (
            {"classes": [ROAD, CAR | {"ids": [256]}]},
            r"key 'classes\.1\.ids\.0' = 256: input should be less than or equal",
        ),
        ({"classes": [ROAD, CAR | {"ids": []}]}, r"key 'classes\.1\.ids'"),
        ({"classes": [ROAD, CAR | {"ids": [True]}]}, r"key 'classes\.1\.ids\.0' = True: .*integer"),
        (
            {"classes": [ROAD, CAR | {"colour": [-1, 0, 0]}]},
            r"key 'classes\.1\.colour\.0' = -1: input should be greater",
        ),
        ({"classes": [ROAD, CAR | {"colour": [0, 0]}]}, r"key 'classes\.1\.colour\.2' is missing"),
        ({"classes": [ROAD, CAR | {"name": "a\nb"}]}, r"a name must be one line"),
        ({"classes": [ROAD, CAR | {"name": False}]}, r"key 'classes\.1\.name' = False: .*string"),
        ({"classes": [ROAD, {"name": "car", "colour": [1, 2, 3]}]}, r"class 'car' has no ids, but others have"),
        ({"classes": [ROAD, CAR], "ignore_colours": [[0, 0, 0]]}, r"'ignore_colours' is for labels: colours"),
        ({"classes": [ROAD, CAR | {"colours": [[0, 0, 0]]}]}, r"class 'car': key 'colours' is for labels: colours"),
        ({"labels": "colours", "classes": [ROAD, CAR], "ignore": [255]}, r"'ignore' is for labels: ids"),
        ({"classes": [ROAD, CAR], "other": "keep"}, r"key 'other' = 'keep'"),
    ],
)
def test_wrong_files_are_explained_in_one_line(tmp_path, content, message):
    with pytest.raises(UserError, match=rf"own\.yaml: .*{message}") as raised:
        written(tmp_path, **content)
    assert "\n" not in str(raised.value)


def test_no_yaml(tmp_path):
    (tmp_path / "own.yaml").write_text("classes: [")
    with pytest.raises(UserError, match=r"own\.yaml: not readable as YAML"):
        load("own.yaml", tmp_path)


def test_where_classes_are_looked_for(tmp_path, monkeypatch):
    assert load("cityscapes", tmp_path) is CITYSCAPES
    with pytest.raises(UserError, match=r"classes: no label set is called 'towns'; .*cityscapes, street.*\.yaml"):
        load("towns", tmp_path)
    project, root = tmp_path / "project", tmp_path / "root"
    project.mkdir(), root.mkdir()
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=r"no file .*root/own\.yaml or own\.yaml; correct"):
        load("own.yaml", root)
    for folder, second in ((project, "car"), (root, "bus")):
        (folder / "own.yaml").write_text(yaml.safe_dump({"classes": [ROAD, CAR | {"name": second}]}))
        assert load("own.yaml", root).names == ("road", second)
        assert load(str(folder / "own.yaml"), tmp_path).names == ("road", second)
