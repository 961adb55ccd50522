"""A label set whose label files are RGB pictures."""

from etc.dataset.label_sets import LabelSet

COLOURED = LabelSet(
    name="coloured",
    names=("a", "b"),
    palette=((1, 2, 3), (4, 5, 6)),
    sources=((0,), (1,)),
    colours=(((1, 2, 3),), ((4, 5, 6), (7, 8, 9))),
    void_colours=((0, 0, 0),),
)
