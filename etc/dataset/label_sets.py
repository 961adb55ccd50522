"""Label sets: class names, colours, and how the content of label files becomes train ids; and the bundled sets."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from etc.core.errors import UserError

IGNORE = 255

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class LabelSet:
    """The classes of one data set.

    Attributes:
        name: of the label set.
        names: class names, position = train id.
        palette: one (red, green, blue) per class, 0..255.
        sources: ids in the label files per class, the first one is written back by ``decode``. Ids in no class
            become 255 (ignore). A negative id (Cityscapes' licence plate) is stored modulo 256.
        void: ids that a label file may hold besides these, all meaning ignore; None allows every id.
        colours: where label files are RGB pictures, the colours per class; empty where they hold ids.
        void_colours: colours that mean ignore; None allows every colour.

    Raises:
        ValueError: names, palette, sources or colours differ in length, or two classes share an id or a colour.
    """

    name: str
    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    sources: tuple[tuple[int, ...], ...]
    void: tuple[int, ...] | None = None
    colours: tuple[tuple[Colour, ...], ...] = ()
    void_colours: tuple[Colour, ...] | None = None

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.palette) == len(self.sources) == len(self.colours or self.names):
            raise ValueError(f"label set {self.name}: names, palette, sources and colours differ in length")
        for what, groups in (("an id", self.sources), ("a colour", self.colours)):
            members = [member for group in groups for member in group]
            if len(set(members)) != len(members):
                raise ValueError(f"label set {self.name}: two classes share {what}; give each to one class")

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.names)

    @property
    def in_colours(self) -> bool:
        """Whether label files are RGB pictures."""
        return bool(self.colours)

    @property
    def kind(self) -> Literal["ids", "colours"]:
        """How :mod:`etc.dataset.pictures` reads label files, so that :meth:`encode` takes them."""
        return "colours" if self.in_colours else "ids"

    def encode(self, source: np.ndarray) -> np.ndarray:
        """Content of label files to train ids.

        Args:
            source: ids, uint8 (any shape); RGB, uint8 (..., 3), where the label set is in colours.

        Returns:
            uint8, 255 = ignore.
        """
        if not self.in_colours:
            return self._to_train[source]
        codes, train = self._coded
        packed = _packed(source)
        place = np.searchsorted(codes, packed).clip(max=len(codes) - 1)
        return np.where(codes[place] == packed, train[place], np.uint8(IGNORE))

    def foreign(self, source: np.ndarray) -> list[int] | list[Colour]:
        """Ids (or colours) of a label file that are neither of a class nor void, sorted.

        Label files of another data set have some. ``source`` is as for :meth:`encode`.
        """
        if self.in_colours:
            known = [colour for group in self.colours for colour in group] + list(self.void_colours or ())
            if self.void_colours is None:
                return []
            codes = np.setdiff1d(_packed(source), _packed(np.array(known, np.uint8)))
            return [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in codes]
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
        # Several times as fast as an index.
        return np.take(table, train, axis=0)

    def to_json(self) -> str:
        """All fields as JSON; equal label sets give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "LabelSet":
        """What :meth:`to_json` wrote.

        Raises:
            ValueError: the text is something else.
        """
        fields = json.loads(text)
        try:
            return cls(**{name: _tuples(value) for name, value in fields.items()})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"no label set: {error}") from error

    @cached_property
    def _to_train(self) -> np.ndarray:
        table = np.full(256, IGNORE, np.uint8)
        for train_id, ids in enumerate(self.sources):
            table[np.asarray(ids) % 256] = train_id
        return table

    @cached_property
    def _coded(self) -> tuple[np.ndarray, np.ndarray]:
        """Colours as sorted numbers, and the train id of each."""
        codes = _packed(np.array([colour for group in self.colours for colour in group], np.uint8))
        train = np.array([train_id for train_id, group in enumerate(self.colours) for _ in group], np.uint8)
        order = np.argsort(codes)
        return codes[order], train[order]


def _packed(colours: np.ndarray) -> np.ndarray:
    """RGB (..., 3) as one number each."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _tuples(value: object) -> object:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


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
    # The blue of cars and that of trucks can hardly be told apart; trucks here have the colour of trains.
    palette=tuple(_CITYSCAPES["train" if name == "truck" else name][1] for name in _STREET),
    sources=tuple(tuple(_CITYSCAPES[member][0] for member in members) for members in _STREET.values()),
    void=_VOID,
)

LABEL_SETS = {one.name: one for one in (STREET, CITYSCAPES)}


def label_set(name: str) -> LabelSet:
    """The bundled label set of this name.

    Raises:
        UserError: no bundled label set has this name.
    """
    if name not in LABEL_SETS:
        raise UserError(f"no label set is called {name!r}; choose one of {', '.join(sorted(LABEL_SETS))}")
    return LABEL_SETS[name]
