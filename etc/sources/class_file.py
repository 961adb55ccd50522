"""The classes of a user's own data: one of the bundled label sets, or a small YAML file.

    labels: ids                 # label files are pictures of ids; colours: RGB pictures
    classes:                    # their order gives the train ids
      - {name: road, ids: [0, 7], colour: [128, 64, 128]}
      - {name: car, ids: [1], colour: [0, 0, 142]}
    ignore: [255]               # ids that mean ignore
    other: error                # ids of no class are an error; ignore: they are ignored as well

Without ``ids`` the id of a class is its place in the list, from 0. With ``labels: colours`` a class is found by its
``colour``, or by all of ``colours`` if it has several, and ``ignore_colours`` takes the place of ``ignore``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from etc.core.errors import UserError
from etc.core.params_file import FromList, Params, load_file
from etc.dataset.label_sets import IGNORE, LABEL_SETS, LabelSet

CLASSES = "classes: cityscapes, street, or a .yaml file of classes, below root, from the project's root or absolute"
MOST = 254
ENDINGS = (".yaml", ".yml")

Byte = Annotated[int, Field(strict=True, ge=0, le=255)]
Rgb = Annotated[tuple[Byte, Byte, Byte], FromList]
Colours = Annotated[tuple[Rgb, ...], FromList]
Bytes = Annotated[tuple[Byte, ...], FromList]


class ClassEntry(Params):
    """One class."""

    name: str = Field(min_length=1, max_length=100, description="of the class")
    ids: Bytes | None = Field(None, min_length=1, description="in label files, 0 to 255; the first is written")
    colour: Rgb = Field(description="in pictures, and in label files with labels: colours: red, green, blue, 0 to 255")
    colours: Colours | None = Field(None, min_length=1, description="in label files, instead of colour")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a class must be like {name: road, ids: [0], colour: [128, 64, 128]}")
        for key in value:
            if key not in cls.model_fields:
                raise ValueError(f"key {key!r} is unknown; allowed here: {', '.join(cls.model_fields)}")
        return value

    @field_validator("name")
    @classmethod
    def _one_line(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError("a name must be one line without blanks around it")
        return name


class ClassFile(Params):
    """The whole file."""

    labels: Literal["ids", "colours"] = Field("ids", description="what label files hold")
    classes: Annotated[tuple[ClassEntry, ...], FromList] = Field(description="in the order of the train ids, 2 to 254")
    ignore: Bytes | None = Field(None, description="ids that mean ignore; left out: [255]")
    ignore_colours: Colours | None = Field(None, description="colours that mean ignore; left out: none")
    other: Literal["ignore", "error"] = Field("error", description="what ids or colours of no class are")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 2 <= len(self.classes) <= MOST:
            raise ValueError(f"key 'classes': {len(self.classes)} given; 2 to {MOST} fit into label files of 8 bits")
        if self.labels == "colours" and self.ignore is not None:
            raise ValueError("key 'ignore' is for labels: ids; with labels: colours give ignore_colours")
        if self.labels == "ids":
            if self.ignore_colours is not None:
                raise ValueError("key 'ignore_colours' is for labels: colours; with labels: ids give ignore")
            several = [one.name for one in self.classes if one.colours is not None]
            if several:
                raise ValueError(
                    f"class {several[0]!r}: key 'colours' is for labels: colours; with labels: ids give ids"
                )
        if len({one.ids is None for one in self.classes}) > 1:
            without = next(one.name for one in self.classes if one.ids is None)
            raise ValueError(f"class {without!r} has no ids, but others have; give ids to all classes or to none")
        _once("name", ((one.name, f"class {place}") for place, one in enumerate(self.classes)))
        _once("colour", ((one.colour, f"class {one.name!r}") for one in self.classes))
        _once("id", [*_owners(self, self.sources), *((one, "ignore") for one in self.void)])
        if self.labels == "colours":
            colours = [*_owners(self, self.colours), *((one, "ignore_colours") for one in self.ignore_colours or ())]
            _once("colour", colours)
        return self

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """Ids of each class."""
        return tuple((place,) if one.ids is None else one.ids for place, one in enumerate(self.classes))

    @property
    def colours(self) -> tuple[tuple[Rgb, ...], ...]:
        """Colours of each class in label files; empty where these hold ids."""
        if self.labels == "ids":
            return ()
        return tuple(one.colours or (one.colour,) for one in self.classes)

    @property
    def void(self) -> tuple[int, ...]:
        """Ids that mean ignore."""
        if self.labels == "colours":
            return ()
        return (IGNORE,) if self.ignore is None else self.ignore

    def label_set(self, name: str) -> LabelSet:
        """The label set of this name."""
        in_colours = self.labels == "colours"
        strict = self.other == "error"
        return LabelSet(
            name=name,
            names=tuple(one.name for one in self.classes),
            palette=tuple(one.colour for one in self.classes),
            sources=self.sources,
            void=self.void if strict and not in_colours else None,
            colours=self.colours,
            void_colours=(self.ignore_colours or ()) if strict and in_colours else None,
        )


def load(classes: str, root: Path) -> LabelSet:
    """The label set that the parameters name.

    Args:
        classes: name of a bundled one, or a YAML file: absolute, below ``root``, or from the project's root.
        root: folder of the data set.

    Raises:
        UserError: no bundled label set has this name, or the file is missing or wrong.
    """
    if not classes.lower().endswith(ENDINGS):
        if classes in LABEL_SETS:
            return LABEL_SETS[classes]
        known = ", ".join(sorted(LABEL_SETS))
        raise UserError(f"classes: no label set is called {classes!r}; choose one of {known}, or give a .yaml file")
    path = Path(classes).expanduser()
    places = [path] if path.is_absolute() else [root / path, path]
    for place in places:
        if place.is_file():
            return load_file(place, ClassFile).label_set(place.stem)
    looked = " or ".join(map(str, places))
    raise UserError(f"classes: no file {looked}; correct the name, or create the file")


def _owners(file: ClassFile, groups: Iterable[Iterable[Any]]) -> Iterator[tuple[Any, str]]:
    for one, members in zip(file.classes, groups, strict=True):
        yield from ((member, f"class {one.name!r}") for member in members)


def _once(what: str, owned: Iterable[tuple[Any, str]]) -> None:
    """Check that nothing has two owners, or one twice."""
    seen: dict[Any, str] = {}
    for value, owner in owned:
        if value in seen:
            shown = list(value) if isinstance(value, tuple) else repr(value)
            raise ValueError(f"{what} {shown} is listed twice, in {seen[value]} and in {owner}; keep one")
        seen[value] = owner
