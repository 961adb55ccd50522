"""Label sets: class names, colours, and how the ids on disk become train ids."""

from dataclasses import dataclass, field

import numpy as np

from etc.errors import UserError

IGNORE = 255


@dataclass(frozen=True)
class LabelSet:
    """The classes of one data set.

    Attributes:
        name: data set name.
        names: class names, position = train id.
        palette: one (red, green, blue) per class, 0..255.
        sources: ids in the label files per class, the first one is written back by ``decode``. Ids in no class
            become 255 (ignore). A negative id (Cityscapes' licence plate) is stored modulo 256.
        void: ids that a label file may hold besides these, all meaning ignore; None allows every id.
    """

    name: str
    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    sources: tuple[tuple[int, ...], ...]
    void: tuple[int, ...] | None = None
    _to_train: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.palette) == len(self.sources):
            raise ValueError(f"label set {self.name}: names, palette and sources differ in length")
        table = np.full(256, IGNORE, np.uint8)
        for train_id, ids in enumerate(self.sources):
            table[np.asarray(ids) % 256] = train_id
        table.setflags(write=False)
        object.__setattr__(self, "_to_train", table)

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.names)

    def encode(self, source: np.ndarray) -> np.ndarray:
        """Ids of the label files, uint8 (any shape), to train ids, uint8, 255 = ignore."""
        return self._to_train[source]

    def foreign(self, source: np.ndarray) -> list[int]:
        """Ids of a label file, uint8, neither of a class nor void, sorted. Those of another data set have some."""
        known = np.full(256, self.void is None)
        for ids in (*self.sources, self.void or ()):
            known[np.asarray(ids, int) % 256] = True
        return np.flatnonzero((np.bincount(source.ravel(), minlength=256) > 0) & ~known).tolist()

    def decode(self, train: np.ndarray) -> np.ndarray:
        """Train ids, uint8, to the first source id of each class, uint8; ignore becomes 0 (unlabelled)."""
        table = np.zeros(256, np.uint8)
        table[: self.count] = [ids[0] for ids in self.sources]
        return table[train]

    def colour(self, train: np.ndarray) -> np.ndarray:
        """Train ids, uint8 (H, W), to a picture, uint8 (H, W, 3) RGB; ignore is black."""
        table = np.zeros((256, 3), np.uint8)
        table[: self.count] = self.palette
        return table[train]


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

LABEL_SETS = {label_set.name: label_set for label_set in (STREET, CITYSCAPES)}


def label_set(name: str) -> LabelSet:
    """The label set of a data set.

    Raises:
        UserError: there is none of that name.
    """
    if name not in LABEL_SETS:
        raise UserError(f"data set {name!r} has no label set; choose one of {', '.join(sorted(LABEL_SETS))}")
    return LABEL_SETS[name]
