"""Label sets: class names, colours, and how what stands in label files becomes train ids."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

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

        Those of another data set have some. ``source`` is as for :meth:`encode`.
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
        return table[train]

    def to_json(self) -> str:
        """All fields, so that equal label sets give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "LabelSet":
        """What :meth:`to_json` wrote.

        Raises:
            ValueError: it is something else.
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
