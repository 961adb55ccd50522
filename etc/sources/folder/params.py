"""Typed parameters of a user's own data as a source: a folder of frames, or videos."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from etc.core.params_file import FromList, Params

CLASSES = "classes: cityscapes, street, or a .yaml file of classes, below root, from the project's root or absolute"


def _share_or_clips(value: Any) -> Any:
    """Let a share or a list of texts through, so that the message is one, not one for each kind."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value <= 1:
            raise ValueError("a share must be from 0 to 1")
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    raise ValueError("give a share from 0 to 1, or a list of clip names such as ['walk', 'city_*']")


Part = Annotated[float | tuple[str, ...], BeforeValidator(_share_or_clips)]


class Splits(Params):
    """Which clips make up each split: shares in all three, or lists of clips in all three; what is left out is none."""

    train: Part | None = Field(None, description="share of the recordings, 0 to 1, or list of clips; *, ? and [] match")
    dev: Part | None = Field(None, description="the same, to tune on")
    test: Part | None = Field(None, description="the same, to report on")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="which recordings go where, with shares")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        given = self._given()
        if not given:
            raise ValueError("no split is given; give shares such as train: 0.8, dev: 0.1, test: 0.1")
        if len({isinstance(part, tuple) for part in given.values()}) > 1:
            raise ValueError("shares and lists of clips are mixed; give one kind in train, dev and test")
        total = sum(self.shares.values())
        if self.shares and abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of train, dev and test add up to {total:g}; make it 1")
        if not self.shares and not any(self.clips.values()):
            raise ValueError("the lists of train, dev and test are empty; name clips")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Split to its share, those above 0; empty with lists."""
        return {split: float(part) for split, part in self._given().items() if not isinstance(part, tuple) and part}

    @property
    def clips(self) -> dict[str, tuple[str, ...]]:
        """Split to its clip names and patterns; empty with shares."""
        return {split: part for split, part in self._given().items() if isinstance(part, tuple)}

    def _given(self) -> dict[str, float | tuple[str, ...]]:
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: part for split, part in parts.items() if part is not None}


EIGHT_ONE_ONE = Splits(train=0.8, dev=0.1, test=0.1)


class FolderParams(Params):
    """A folder of frames that the user has, with or without labels."""

    source: Literal["folder"] = Field("folder", description="where the frames come from")
    root: str | None = Field(None, description="the folder that holds frames and labels; null: ETC_ROOT_<DATA SET>")
    images: str = Field("images", description="folder of the frames below root; . is root itself")
    labels: str | None = Field("labels", description="folder of the labels below root; null: there are none")
    classes: str = Field(min_length=1, description=CLASSES)
    split: Splits = Field(EIGHT_ONE_ONE, description="which clips make up each split")
    annotated: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description="training may use the label of every n-th labelled frame of a recording; 1 = all, 0 = none",
    )

    @field_validator("images", "labels")
    @classmethod
    def _below_root(cls, folder: str | None) -> str | None:
        if folder is None:
            return None
        path = PurePosixPath(folder)
        if not folder or path.is_absolute() or ".." in path.parts:
            raise ValueError("must be a folder below root, without '..'")
        return path.as_posix()

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.labels is not None:
            images, labels = PurePosixPath(self.images), PurePosixPath(self.labels)
            if images.is_relative_to(labels) or labels.is_relative_to(images):
                raise ValueError(
                    f"images is {self.images!r} and labels is {self.labels!r}, one inside the other; "
                    "keep frames and labels in folders beside each other"
                )
        return self


class VideoParams(Params):
    """Videos that the user has, cut into clips of frames; they have no labels."""

    source: Literal["video"] = Field("video", description="where the frames come from")
    root: str | None = Field(
        None, description="folder of the videos, subfolders included, or one video; null: ETC_ROOT_<DATA SET>"
    )
    files: Annotated[tuple[str, ...], FromList] = Field(
        ("*.mp4", "*.avi", "*.mov", "*.mkv", "*.webm", "*.m4v"),
        min_length=1,
        description="patterns of the videos' names, or of their paths below root; !pattern leaves out",
    )
    rate: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="frames a second that are kept, each the nearest to the regular time; null: every frame",
    )
    height: int | None = Field(
        None,
        ge=32,
        le=8192,
        multiple_of=8,
        description="frame height, pixels, a multiple of 8; the width follows, rounded to one; null: as they are",
    )
    clip_frames: int = Field(30, ge=2, le=1_000_000, description="frames in a clip; the last of a video may be shorter")
    skip: float = Field(0.0, ge=0, le=86_400, description="seconds left out after each clip; 0 = none")
    limit: int | None = Field(None, ge=1, le=1_000_000, description="most clips of a video, from its start; null: all")
    format: Literal["png", "jpg"] = Field("png", description="of the frames: png keeps every bit, jpg is smaller")
    quality: int = Field(95, ge=1, le=100, description="of jpg")
    classes: str = Field(min_length=1, description=CLASSES)
    split: Splits = Field(EIGHT_ONE_ONE, description="which clips make up each split")
