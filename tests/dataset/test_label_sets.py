import dataclasses

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.dataset.label_sets import CITYSCAPES, IGNORE, LABEL_SETS, STREET, LabelSet, label_set


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_every_class_survives_the_way_to_disk_and_back(labels):
    train = np.append(np.arange(labels.count), IGNORE).astype(np.uint8)
    np.testing.assert_array_equal(labels.encode(labels.decode(train)), train)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_sources_and_colours_are_distinct(labels):
    sources = [source for ids in labels.sources for source in ids]
    assert len(set(sources)) == len(sources)
    assert len(set(labels.palette)) == labels.count == len(labels.names)


def test_cityscapes_is_the_official_table():
    official = pytest.importorskip(
        "cityscapesscripts.helpers.labels", reason="the extra 'cityscapes' is not installed"
    ).labels
    classes = sorted((one for one in official if not one.ignoreInEval), key=lambda one: one.trainId)
    assert [one.trainId for one in classes] == list(range(19)) and len(official) == 35
    assert CITYSCAPES.names == tuple(one.name for one in classes)
    assert CITYSCAPES.palette == tuple(one.color for one in classes)
    assert CITYSCAPES.sources == tuple((one.id,) for one in classes)
    void = sorted(one.id for one in official if one.ignoreInEval)
    assert sorted(CITYSCAPES.void) == sorted(STREET.void) == void
    ids = np.array([one.id % 256 for one in official], np.uint8)
    np.testing.assert_array_equal(
        CITYSCAPES.encode(ids), [IGNORE if one.ignoreInEval else one.trainId for one in official]
    )


def test_street_merges_cityscapes_classes():
    fence, rider, bus, terrain = (np.uint8(source) for source in (13, 25, 28, 22))
    names = [STREET.names[STREET.encode(source)] for source in (fence, rider, bus, terrain)]
    assert names == ["building", "person", "truck", "vegetation"]
    # Every Cityscapes class has a place in the street's classes, so predictions can be compared across the two.
    sources = np.array([ids[0] for ids in CITYSCAPES.sources], np.uint8)
    assert (STREET.encode(sources) < STREET.count).all()


def test_colour_paints_classes_and_leaves_ignore_black():
    train = np.array([[0, IGNORE], [STREET.names.index("car"), 1]], np.uint8)
    np.testing.assert_array_equal(STREET.colour(train)[0, 1], (0, 0, 0))
    np.testing.assert_array_equal(STREET.colour(train)[1, 0], (0, 0, 142))


def test_negative_source_ids_are_stored_modulo_256():
    labels = LabelSet("plates", ("plate",), ((1, 2, 3),), ((-1,),))
    assert labels.encode(np.uint8(255)) == 0


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        LabelSet("odd", ("a", "b"), ((0, 0, 0),), ((0,), (1,)))


def test_unknown_data_set_is_named():
    assert label_set("street") is STREET
    with pytest.raises(UserError, match="'nowhere'.*cityscapes, street"):
        label_set("nowhere")


def test_ids_of_no_class_are_void_or_foreign():
    every = np.arange(256, dtype=np.uint8)
    assert CITYSCAPES.foreign(every) == STREET.foreign(every) == list(range(34, 255))
    assert CITYSCAPES.foreign(np.array([[7, 0], [255, 33]], np.uint8)) == []
    assert CITYSCAPES.foreign(np.array([[7, 200], [99, 200]], np.uint8)) == [99, 200]
    assert LabelSet("any", ("a",), ((0, 0, 0),), ((3,),)).foreign(every) == []


def test_an_id_or_colour_of_two_classes_is_refused():
    with pytest.raises(ValueError, match="share an id"):
        LabelSet("odd", ("a", "b"), ((0, 0, 0), (1, 1, 1)), ((0,), (1, 0)))
    with pytest.raises(ValueError, match="share a colour"):
        LabelSet("odd", ("a", "b"), ((0, 0, 0), (1, 1, 1)), ((0,), (1,)), colours=(((1, 2, 3),), ((1, 2, 3),)))


def test_colours_become_train_ids():
    colours = (((9, 8, 7),), ((1, 2, 3), (255, 0, 1)))
    labels = LabelSet("coloured", ("a", "b"), ((0, 0, 0), (1, 1, 1)), ((0,), (1,)), colours=colours)
    source = np.array([[(9, 8, 7), (1, 2, 3)], [(255, 0, 1), (7, 8, 9)], [(255, 255, 255), (0, 0, 0)]], np.uint8)
    np.testing.assert_array_equal(labels.encode(source), [[0, 1], [1, IGNORE], [IGNORE, IGNORE]])
    assert labels.foreign(source) == []
    strict = dataclasses.replace(labels, void_colours=())
    assert strict.foreign(source) == [(0, 0, 0), (7, 8, 9), (255, 255, 255)]


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_json_keeps_everything(labels):
    assert LabelSet.from_json(labels.to_json()) == labels
    with pytest.raises(ValueError, match="no label set"):
        LabelSet.from_json('{"name": "x"}')
