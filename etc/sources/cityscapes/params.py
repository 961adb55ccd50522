"""Typed parameters of Cityscapes as a source of frames."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from etc.core.params_file import FromList, Params
from etc.sources.splits import HeldOut

Folder = Literal["train", "val", "test", "train_extra"]
Folders = Annotated[tuple[Folder, ...], FromList]

TRAINING = ("train", "train_extra")


class CityscapesSplits(Params):
    """Which folders of Cityscapes make up each split."""

    train: Folders = Field(
        ("train",), min_length=1, description="folders to train on: train, and train_extra with its coarse labels"
    )
    dev: Folders = Field((), description="folders to tune on; dev_cities adds to them")
    test: Folders = Field(("val",), description="folders to report on; folder test has no public labels")

    @field_validator("train")
    @classmethod
    def _never_what_is_reported(cls, folders: tuple[Folder, ...]) -> tuple[Folder, ...]:
        held_out = [name for name in folders if name not in TRAINING]
        if held_out:
            raise ValueError(
                f"folder {held_out[0]} is what results are reported on and is never trained on, "
                f"as train++ lists do; only {' and '.join(TRAINING)} may stand here"
            )
        return folders

    @field_validator("dev", "test")
    @classmethod
    def _finely_labelled(cls, folders: tuple[Folder, ...]) -> tuple[Folder, ...]:
        if "train_extra" in folders:
            raise ValueError("train_extra has only coarse labels, which do not measure a network; leave it out")
        return folders

    @model_validator(mode="after")
    def _each_folder_once(self) -> Self:
        folders = [*self.train, *self.dev, *self.test]
        for name in folders:
            if folders.count(name) > 1:
                raise ValueError(f"folder {name} is listed twice; a folder belongs to one split, once")
        return self


class CityscapesParams(Params):
    """Cityscapes, in its official folder layout."""

    source: Literal["cityscapes"] = Field("cityscapes", description="where the frames come from")
    root: str | None = Field(
        None, description="its folder; null: ETC_ROOT_<DATA SET>, CITYSCAPES_DATASET, or what was fetched"
    )
    splits: CityscapesSplits = Field(CityscapesSplits(), description="folders of each split")
    dev_cities: HeldOut = Field((), description="cities of folder train that become dev, e.g. [ulm, jena]")
    sequences: bool = Field(
        True,
        description="true: the clips of 30 frames, which TC and the motion loss need (324 GB); false: annotated frames",
    )
    extra: bool = Field(
        False, description="true: the frames of train_extra join train without labels, to be pseudo-labelled (44 GB)"
    )
    labels: Literal["auto", "labelIds", "labelTrainIds"] = Field(
        "auto",
        description="label files to read; auto: labelTrainIds where every annotated frame has one, else labelIds",
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.dev_cities and "train" not in self.splits.train:
            raise ValueError("dev_cities takes cities out of folder train, which splits.train does not list; add it")
        if self.extra and "train_extra" in self.splits.train:
            raise ValueError(
                "extra adds train_extra without labels, but splits.train lists it with its coarse labels; choose one"
            )
        return self

    def folders(self) -> dict[str, str]:
        """The split of each folder that is used; ``dev_cities`` stay with the folder train."""
        named = [(split, getattr(self.splits, split)) for split in ("train", "dev", "test")]
        used = {folder: split for split, folders in named for folder in folders}
        return used | ({"train_extra": "train"} if self.extra else {})
