"""Typed parameters of CamVid as a source of frames."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from etc.core.params_file import Params
from etc.sources.splits import HeldOut

# Stills are 29 to 31 frames apart: with more neighbours those of two stills, even of two splits, would be the same.
MOST_NEIGHBOURS = 14


class CamVidParams(Params):
    """CamVid, in the SegNet form (360x480, 11 classes) or the original form (720x960, 32 classes)."""

    source: Literal["camvid"] = Field("camvid", description="where the frames come from")
    root: str | None = Field(
        None, description="its folder or one .zip of it; null: ETC_ROOT_<DATA SET>, or what was fetched"
    )
    form: Literal["segnet", "original"] = Field(
        "segnet", description="segnet: 360x480, 11 classes, can be fetched; original: 720x960, 32 classes in colours"
    )
    mapping: Literal["drop", "merge"] | None = Field(
        None,
        description="original form: how 32 classes become 11; drop: others are ignored, merge: they join related ones",
    )
    videos: str | None = Field(None, description="original form: folder of the original videos, to cut neighbours from")
    neighbours: int = Field(
        0, ge=0, le=MOST_NEIGHBOURS, description="frames cut from the videos on each side of a still"
    )
    first_frames: dict[str, int] = Field(
        {},
        description="number that the first frame of a sequence's video has in the stills' names, e.g. {'0016E5': 390}; "
        "a sequence that is not named: its first still is searched for",
    )
    split: Literal["published", "video"] = Field(
        "published",
        description="published: 367/101/233 frames; video: train, dev and test from train and the 15 Hz clip",
    )
    test_sequences: HeldOut = Field(
        (), description="published split: recordings whose training frames become test, e.g. ['0001TP']: unseen streets"
    )
    train_share: float = Field(
        0.4,
        ge=0,
        le=0.9,
        description="video split: share of the 15 Hz clip, its beginning, that is unlabelled training video",
    )
    dev_share: float = Field(
        0.2, ge=0, le=0.9, description="video split: share of the 15 Hz clip that follows, for dev"
    )
    gap: int = Field(5, ge=0, le=100, description="video split: frames of the 15 Hz clip left out between two parts")
    clip_frames: int = Field(
        6, ge=2, le=1000, description="video split: dev and test are cut into clips of this many frames, for intervals"
    )

    @field_validator("first_frames")
    @classmethod
    def _no_negative_number(cls, numbers: dict[str, int]) -> dict[str, int]:
        for sequence, number in numbers.items():
            if number < 0:
                raise ValueError(f"{sequence} begins with frame {number}; frame numbers are not negative")
        return numbers

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.form == "original" and self.mapping is None:
            raise ValueError(
                "form: original needs mapping: drop (other classes are ignored) or merge (they are joined)"
            )
        if self.form == "segnet":
            only = {"mapping": self.mapping, "videos": self.videos, "first_frames": self.first_frames}
            for key, value in only.items():
                if value:
                    raise ValueError(f"{key} is {value!r}, which only form: original has; leave it out")
        if self.neighbours and not self.videos:
            raise ValueError(
                f"neighbours is {self.neighbours}, but there is no video to cut them from; name videos or set 0"
            )
        if self.videos and not self.neighbours:
            raise ValueError(
                f"videos is {self.videos!r}, but neighbours is 0 and nothing is cut; set 1 to {MOST_NEIGHBOURS}"
            )
        if self.first_frames and not self.videos:
            raise ValueError("first_frames is given without videos; name videos or leave it out")
        if self.split == "video":
            if self.test_sequences:
                raise ValueError("test_sequences is for split: published; with split: video test is the 15 Hz clip")
            self._check_video_split()
        return self

    def _check_video_split(self) -> None:
        if self.train_share + self.dev_share > 0.9:
            raise ValueError(
                f"train_share {self.train_share} and dev_share {self.dev_share} leave less than a tenth for test; "
                "lower one of them"
            )
        if self.neighbours > self.gap:
            raise ValueError(
                f"neighbours {self.neighbours} would reach over the gap of {self.gap} frames between two parts; "
                "raise gap or lower neighbours"
            )
