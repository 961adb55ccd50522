"""Colours of classes that no bundled label set has."""

from etc.colours import label_set_of
from etc.dataset.label_sets import STREET


def test_unknown_classes_get_colours_of_their_own():
    assert label_set_of(STREET.names) is STREET
    own = label_set_of([f"class {one}" for one in range(40)])
    assert len(set(own.palette)) == 40
    assert label_set_of(STREET.names, [[1, 2, one] for one in range(9)]).palette[8] == (1, 2, 8)
