"""Typed parameters of a user's own folder of frames as a source."""

from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from etc.core.params_file import Params
from etc.sources.class_file import CLASSES
from etc.sources.splits import EIGHT_ONE_ONE, Splits


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
