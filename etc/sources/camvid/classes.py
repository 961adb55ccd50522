"""CamVid's 11 classes, and how the 32 of the original form map to them."""

import csv
from importlib import resources

from etc.dataset.label_sets import Colour, LabelSet

# Order and colours as in the SegNet tutorial, in whose label files 11 is void.
_CLASSES: dict[str, Colour] = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}

SEGNET = LabelSet(
    name="camvid_segnet",
    names=tuple(_CLASSES),
    palette=tuple(_CLASSES.values()),
    sources=tuple((index,) for index in range(len(_CLASSES))),
    void=(len(_CLASSES),),
)


def table(name: str) -> list[dict[str, str]]:
    """Rows of ``assets/camvid_<name>.csv``: colours, drop or merge."""
    text = resources.files("etc.sources.camvid").joinpath("assets", f"camvid_{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def colour(text: str) -> Colour:
    """``"128 64 128"`` to (128, 64, 128)."""
    red, green, blue = (int(part) for part in text.split())
    return red, green, blue


def known_colours() -> tuple[Colour, ...]:
    """The colours of all 32 classes, Void too."""
    return tuple(colour(row["colour"]) for row in table("colours"))


def original(mapping: str) -> LabelSet:
    """The label set of the original form.

    Colours of no class are ignored: a published label, Seq05VD_f02610_L, has some. Their number is reported, and
    limited, when the frames are listed (etc/sources/camvid/original.py).

    Args:
        mapping: drop or merge.
    """
    rows = table(mapping)
    groups = tuple(tuple(colour(row["colour"]) for row in rows if row["target"] == name) for name in _CLASSES)
    return LabelSet(
        name=f"camvid_{mapping}",
        names=SEGNET.names,
        palette=SEGNET.palette,
        sources=SEGNET.sources,
        void=SEGNET.void,
        colours=groups,
        void_colours=None,
    )
