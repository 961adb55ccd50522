"""Label sets that come with the package: Cityscapes, the embedded street, and what is made from them."""

from etc.datasets.labels import LabelSet
from etc.errors import UserError

# Names, ids and colours are those of cityscapesscripts/helpers/labels.py.
_CITYSCAPES = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}

# Unlabelled, ego vehicle, border, out of region, static, dynamic, ground; parking, rail track; guard rail, bridge,
# tunnel; second poles of a group; caravan, trailer; licence plate.
_VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, -1)

CITYSCAPES = LabelSet(
    name="cityscapes",
    names=tuple(_CITYSCAPES),
    palette=tuple(colour for _, colour in _CITYSCAPES.values()),
    sources=tuple((source,) for source, _ in _CITYSCAPES.values()),
    void=_VOID,
)

# Thin and rare Cityscapes classes are merged with their nearest kin: at 128x256 a small network does not learn
# them in a short training, and their stray pixels dominate a mean over classes.
_STREET = {
    "road": ("road",),
    "sidewalk": ("sidewalk",),
    "building": ("building", "wall", "fence"),
    "pole": ("pole", "traffic light", "traffic sign"),
    "vegetation": ("vegetation", "terrain"),
    "sky": ("sky",),
    "person": ("person", "rider", "motorcycle", "bicycle"),
    "car": ("car",),
    "truck": ("truck", "bus", "train"),
}

STREET = LabelSet(
    name="street",
    names=tuple(_STREET),
    palette=tuple(_CITYSCAPES[name][1] for name in _STREET),
    sources=tuple(tuple(_CITYSCAPES[member][0] for member in members) for members in _STREET.values()),
    void=_VOID,
)

LABEL_SETS = {one.name: one for one in (STREET, CITYSCAPES)}


def label_set(name: str) -> LabelSet:
    """The label set of a name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in LABEL_SETS:
        raise UserError(f"no label set is called {name!r}; choose one of {', '.join(sorted(LABEL_SETS))}")
    return LABEL_SETS[name]
